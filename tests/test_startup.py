"""The command line starts at once: no verb's help, and no listing, imports what is heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlopsfw.cli.verbs import OPTIONS, VERBS

HEAVY = {
    "numpy", "pyarrow", "polars", "torch", "obstore", "deltalake", "httpcore", "onnxruntime", "ray", "rich",
    "mlopsfw_core",
}  # fmt: skip


def modules_after(*args):
    code = (
        "import sys, json\nfrom mlopsfw.cli import run\n"
        "import io, contextlib\n"
        "with contextlib.redirect_stdout(io.StringIO()): code = run(sys.argv[1:])\n"
        "print(json.dumps([code, sorted({m.partition('.')[0] for m in sys.modules})]))"
    )
    out = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True).stdout
    import json

    code, modules = json.loads(out)
    assert code == 0, args
    return set(modules)


def test_help_imports_neither_click_nor_anything_heavy():
    modules = modules_after("--help")
    assert not modules & {*HEAVY, "click", "pluggy", "msgspec", "importlib_metadata", "email", "inspect", "dataclasses"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_help_imports_nothing_heavy(verb):
    assert not modules_after(verb, "--help") & HEAVY


def test_version_and_plugin_listing_import_no_plugin_and_nothing_heavy():
    for args in (["--version"], ["plugins", "list"]):
        modules = modules_after(*args)
        assert not modules & HEAVY, args
        assert not {m for m in modules if m.startswith("mlopsfw_")}, args


@pytest.mark.parametrize("module", ["mlopsfw.roles", "mlopsfw_engine_local.engine"])
def test_what_a_coordinator_imports_for_its_engine_is_not_heavy(module):
    code = f"import sys, {module}; print({{m.partition('.')[0] for m in sys.modules}} & {set(HEAVY)!r})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "set()\n"


def test_the_help_page_and_click_agree_on_options():
    from mlopsfw.cli.root import cli

    declared = {option for parameter in cli.params for option in parameter.opts if option.startswith("--")}
    written = {word for key in OPTIONS for word in key.replace(",", "").split() if word.startswith("--")}
    assert written == declared | {"--help"}


def test_every_public_name_can_be_imported_and_is_listed():
    import mlopsfw

    for name in mlopsfw.__all__:
        assert getattr(mlopsfw, name) is not None
    assert set(mlopsfw.__all__) == {*mlopsfw._PUBLIC, "__version__"}
