"""The documentation says what the code does: every hook with its exact signature, every verb, every error."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from mlopsfw import errors, hookspecs
from mlopsfw.cli.verbs import VERBS

ROOT = Path(__file__).parent.parent
HOOKS = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("mlopsfw_")}


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_documented_with_its_exact_signature_and_an_example(name):
    signature = f"{name}{inspect.signature(HOOKS[name])}".replace("'", "")
    assert f"`{signature}`" in text("docs/hooks.md")
    assert "Example::" in (HOOKS[name].__doc__ or "")


def test_no_hook_is_documented_that_is_not_there():
    assert set(re.findall(r"^### `(mlopsfw_\w+)", text("docs/hooks.md"), re.MULTILINE)) == set(HOOKS)


def test_every_error_stands_in_the_tree_at_the_top_of_its_module():
    names = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.MlopsfwError)}
    assert names == {n for n in names if re.search(rf"\b{n}\b", errors.__doc__ or "")}


def test_the_exit_codes_in_the_tree_are_the_exit_codes():
    for name, code in re.findall(r"(\w+) +(\d+)(?: |$)", errors.__doc__ or "", re.MULTILINE):
        assert getattr(errors, name).exit_code == int(code), name


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_text_of_its_own(verb):
    from mlopsfw.cli.root import cli

    command = cli.get_command(None, verb)
    assert command.help
    assert len(command.help) > 20


def test_every_local_link_in_the_documentation_leads_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} → {target}"
