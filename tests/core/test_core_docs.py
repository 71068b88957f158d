"""The core's page promises to name every public statistic, and the stubs to name every compiled function."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import mlopsfw_core
from mlopsfw_core import drift, online

ROOT = Path(mlopsfw_core.__file__).parent
PAGE = (ROOT.parent / "docs" / "core.md").read_text(encoding="utf-8")
COMPILED = sorted(path.relative_to(ROOT.parent) for path in ROOT.rglob("*.pyx"))


@pytest.mark.parametrize("name", [name for name in drift.__all__ if name[0].islower()])
def test_every_statistic_is_on_the_page(name):
    assert f"`{name}" in PAGE


# What looks at no two samples has no response to draw; a test of several statistics at once draws each under its own name.
UNDRAWN = {"benjamini_hochberg", "psi_threshold", "rank_statistics"}


@pytest.mark.parametrize("name", sorted({name for name in drift.__all__ if name[0].islower()} - UNDRAWN))
def test_every_statistic_has_a_section_and_a_small_picture(name):
    assert f"\n### `{name}`\n" in PAGE
    assert f"(pictures/{name}.svg)" in PAGE
    picture = (ROOT.parent / "docs" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    assert len(picture) < 6000
    assert picture.count("<polyline") == 6  # three lines, and their names
    assert "prefers-color-scheme:dark" in picture


@pytest.mark.parametrize("name", ["Reference", "compare_table", "hash_features", "hash_indices", "murmurhash3_32"])
def test_every_door_is_on_the_page(name):
    assert name in PAGE


@pytest.mark.parametrize("source", COMPILED, ids=str)
def test_every_compiled_function_has_a_docstring_and_a_stub(source):
    module = importlib.import_module(".".join(source.with_suffix("").parts))
    stub = (ROOT.parent / source.with_suffix(".pyi")).read_text(encoding="utf-8")
    for name, value in vars(module).items():
        made_here = getattr(value, "__module__", None) == module.__name__
        if made_here and not name.startswith("_") and (callable(value) or inspect.isclass(value)):
            assert value.__doc__, name
            assert name in stub or name == "Chunk", name  # Chunk is for compiled callers


@pytest.mark.parametrize("package", [mlopsfw_core, drift])
def test_every_exported_name_is_there_and_sorted_in_groups(package):
    assert all(hasattr(package, name) for name in package.__all__)
    assert len(set(package.__all__)) == len(package.__all__)


def _declared(detector):
    """Return the stub's `__init__` of a compiled class, or None."""
    stub = (ROOT / f"{detector.__module__.removeprefix('mlopsfw_core.').replace('.', '/')}.pyi").read_text(
        encoding="utf-8"
    )
    own = next(
        each for each in ast.parse(stub).body if isinstance(each, ast.ClassDef) and each.name == detector.__name__
    )
    return next((each for each in own.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)


COMPILED_CLASSES = {
    name: declared
    for name in online.__all__
    if isinstance(getattr(online, name), type)
    and (ROOT / f"{getattr(online, name).__module__.removeprefix('mlopsfw_core.').replace('.', '/')}.pyx").exists()
    and (declared := _declared(getattr(online, name))) is not None
}


@pytest.mark.parametrize("name", COMPILED_CLASSES)
def test_a_compiled_class_shows_its_arguments_as_its_stub_declares_them(name):
    detector, declared = getattr(online, name), COMPILED_CLASSES[name].args
    shown = inspect.signature(detector).parameters
    assert list(shown) == [each.arg for each in (*declared.args[1:], *declared.kwonlyargs)]
    defaults = [ast.literal_eval(each) for each in (*declared.defaults, *filter(None, declared.kw_defaults))]
    assert [each.default for each in shown.values()] == defaults
    detector(**{name: each.default for name, each in shown.items()})
    assert detector.__doc__.splitlines()[0].endswith(".")


def test_every_compiled_detector_is_tried():
    assert len(COMPILED_CLASSES) == 8
