"""What the public faces export can be read by tools: `help()` works, and every annotation of a record, protocol or function resolves."""

from __future__ import annotations

import inspect
import pydoc
import typing
from functools import cached_property
from importlib import import_module
from pathlib import Path

import pytest

import mlopsfw

HOUSE = Path(mlopsfw.__file__).parent
PACKAGES = ("capturelog", "features", "http", "testing")
FACES = [
    "mlopsfw",
    *sorted(f"mlopsfw.{file.stem}" for file in HOUSE.glob("[!_]*.py")),
    *(f"mlopsfw.{p}" for p in PACKAGES),
]


def exported(face):
    module = import_module(face)
    for name in getattr(module, "__all__", ()):
        yield name, getattr(module, name)


def functions(name, value):
    """Yield a function, or a class and the functions in it, with their names."""
    if inspect.isclass(value) or inspect.isfunction(value):
        yield name, value
    for key, member in vars(value).items() if inspect.isclass(value) else ():
        inner = member.func if isinstance(member, cached_property) else getattr(member, "fget", None)
        inner = inner or getattr(member, "__func__", member)
        private = key.startswith("_") and key != "__init__"
        if inspect.isfunction(inner) and not private:
            yield f"{name}.{key}", inner


ALL = {
    f"{value.__module__}.{name}": value
    for face in FACES
    for exported_name, exported_value in exported(face)
    for name, value in functions(exported_name, exported_value)
}


def test_the_faces_export_records_protocols_and_functions():
    assert len(ALL) > 200


@pytest.mark.parametrize("value", ALL.values(), ids=list(ALL))
def test_the_annotations_of_everything_public_resolve(value):
    hints = typing.get_type_hints(value)
    assert set(hints) >= set(getattr(value, "__annotations__", {}))


@pytest.mark.parametrize("face", FACES)
def test_help_shows_a_face(face):
    module = import_module(face)
    page = pydoc.plain(pydoc.render_doc(module))
    assert module.__doc__.splitlines()[0] in page
    for name, value in exported(face):
        assert name in page or not (inspect.isclass(value) or inspect.isfunction(value))


def test_an_annotation_of_a_library_is_that_librarys_own_class():
    import pyarrow as pa

    from mlopsfw.roles import Tables, Window

    assert typing.get_type_hints(Window)["rows"] is pa.Table
    assert typing.get_type_hints(Tables.append)["rows"] is pa.Table
