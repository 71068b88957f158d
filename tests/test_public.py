"""How a public name goes: it warns with both releases, and the suite fails once it should be gone. The table of the page is the code's."""

from __future__ import annotations

import re
import sys
import tomllib
import types
import warnings
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

from mlopsfw._public import DEPRECATED, KEPT, PUBLIC, Deprecation
from mlopsfw.errors import MlopsfwDeprecationWarning

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
FIELD = Deprecation("acme.roles.Notice.heading", "acme.roles.Notice.title", since="0.4")
NAME = Deprecation("acme.roles.Note", "acme.roles.Notice", since="0.4")


class Notice(msgspec.Struct, frozen=True):
    """A record of which one field has another name since 0.4."""

    title: str

    @property
    def heading(self):
        FIELD.warn()
        return self.title


@pytest.fixture
def face(monkeypatch):
    """A public face of which one name was renamed."""
    module = types.ModuleType("acme_roles")
    module.Notice = Notice

    def renamed(name):
        if name != "Note":
            raise AttributeError(name)
        NAME.warn()
        return Notice

    module.__getattr__ = renamed
    monkeypatch.setitem(sys.modules, "acme_roles", module)
    return module


def test_a_renamed_field_and_a_renamed_name_work_and_warn_once_with_both_releases_and_what_to_use(face):
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for _ in range(3):
            assert Notice("it").heading == "it"
        for _ in range(3):
            assert face.Note is Notice
    assert [str(each.message) for each in shown] == [
        "acme.roles.Notice.heading is deprecated since mlopsfw 0.4 and gone in 0.6: use acme.roles.Notice.title.",
        "acme.roles.Note is deprecated since mlopsfw 0.4 and gone in 0.6: use acme.roles.Notice.",
    ]
    assert {each.category for each in shown} == {MlopsfwDeprecationWarning}
    assert {each.filename for each in shown} == {__file__}  # where the old name is used


def overdue(deprecations, version):
    return [each.name for each in deprecations if each.is_overdue(version)]


def test_no_name_outlives_the_release_that_its_warning_names():
    assert overdue(DEPRECATED, VERSION) == []


@pytest.mark.parametrize(
    ("version", "names"), [("0.4.0", []), ("0.5.9", []), ("0.6.0", [FIELD.name]), ("1.0.0", [FIELD.name])]
)
def test_an_expired_deprecation_would_fail_this_suite(version, names):
    assert overdue([FIELD], version) == names


def test_only_public_names_are_deprecated_and_each_names_a_replacement_that_is_there():
    for each in DEPRECATED:
        module = max((public for public in PUBLIC if each.name.startswith(f"{public}.")), key=len, default="")
        assert module, each.name
        assert each.instead


@pytest.mark.parametrize("module", PUBLIC)
def test_what_is_public_can_be_imported_and_was_public_in_no_later_release(module):
    import_module(module)
    assert tuple(map(int, PUBLIC[module].split("."))) <= tuple(map(int, VERSION.split(".")[:2]))


def test_the_page_says_of_each_public_module_since_when_it_is_and_for_how_long_a_deprecated_name_works():
    page = (ROOT / "docs" / "writing-plugins.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(mlopsfw[\w.]*)` \| ([\d.]+) \|", page, re.MULTILINE)
    assert dict(rows) == PUBLIC
    assert len(rows) == len(PUBLIC)
    assert KEPT == 2
    assert "two minor releases" in page


def imported():
    """Yield module and name of what bundled plugins, samples and the example import from inside a public package."""
    import ast

    for root in ("plugins", "mlopsfw/scaffold", "examples/acme-plugin/src"):
        for file in (ROOT / root).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.ImportFrom) and re.match(
                    r"mlopsfw\.(capturelog|features)\.", node.module or ""
                ):
                    yield from ((node.module, alias.name) for alias in node.names)


def test_the_page_names_what_a_plugin_takes_from_the_modules_of_a_public_package():
    page = (ROOT / "docs" / "writing-plugins.md").read_text(encoding="utf-8")
    assert len(set(imported())) > 10
    missing = {
        f"{module}.{name}"
        for module, name in imported()
        if not re.search(rf"`{module.removeprefix('mlopsfw.')}\.{name}`", page)
    }
    assert missing == set()
