"""The core's page promises to name every public statistic, and the stubs to name every compiled function."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

import mlopsfw_core
from mlopsfw_core import drift

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
