"""A project closes its storage at its end: once, last, and also after an error. A storage that was written before `close` lacks nothing."""

from __future__ import annotations

import sys

import polars as pl
import pytest

from mlopsfw.cli import run
from mlopsfw.project.facade import Project

PLUGIN = """
    import msgspec
    from mlopsfw import Provider, hookimpl
    from mlopsfw_storage_object.local import LocalStorage

    CALLS = []

    class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        pass

    class Noted(LocalStorage):
        open = True

        def _path(self, key):
            CALLS.append("used" if self.open else "used after its end")
            return super()._path(key)

        def close(self):
            self.open = False
            CALLS.append("closed")

    class Old:
        \"\"\"Shaped like the role of an earlier version, and no subclass of it.\"\"\"

        def __init__(self, root):
            inner = LocalStorage(root)
            for name in ("put", "put_if_absent", "get", "list", "delete", "table_location", "describe"):
                setattr(self, name, getattr(inner, name))

    @hookimpl
    def mlopsfw_storages():
        yield Provider("noted", Config, lambda config, host: Noted(host.root / "store"), "Notes calls")
        yield Provider("old", Config, lambda config, host: Old(host.root / "store"), "Written before")
"""
TOML = '[project]\nname = "p"\n[storage]\nuse = "USE"\n[steps.a]\npython = "work:fails"\n'


@pytest.fixture
def calls(tmp_path, monkeypatch, install_plugin):
    """Return the calls of the storages of a project in the present folder, as they come."""
    module = install_plugin(PLUGIN, "storage.noted", "storage.old")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlopsfw.toml").write_text(TOML.replace("USE", "noted"))
    (tmp_path / "work.py").write_text("def fails():\n    raise ValueError('no')\n")
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    return lambda: sys.modules[module].CALLS


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        (["data", "add", "d", "a.csv"], 0),
        (["data", "show", "absent"], 2),
        (["run"], 1),
        (["doctor"], 0),
        (["models", "list"], 0),
    ],
    ids=lambda each: each if isinstance(each, int) else each[0],
)
def test_a_verb_closes_the_storage_once_and_last_whatever_becomes_of_it(calls, verb, code):
    assert run(verb) == code
    assert calls().count("closed") == 1
    assert calls()[-1] == "closed"
    assert "used after its end" not in calls()


def test_an_error_within_a_project_closes_its_storage(calls):
    with pytest.raises(ZeroDivisionError), Project.open() as project:
        _ = project.datasets.names()[1 // 0]
    assert calls()[-1] == "closed"


def test_a_storage_that_was_never_used_is_not_made_to_be_closed(calls, install_plugin):
    with Project.open() as project:
        assert project.name == "p"
    assert "storage" not in vars(project.providers)


def test_a_storage_that_lacks_what_the_role_gained_since_gets_its_defaults(calls, tmp_path):
    (tmp_path / "mlopsfw.toml").write_text(TOML.replace("USE", "old"))
    with Project.open() as project:
        project.datasets.commit("d", pl.DataFrame({"x": [1]}))
        digest = project.blobs.put(b"abc")
        assert project.storage.max_object is None
        assert b"".join(project.storage.stream(f"objects/{digest[:2]}/{digest}")) == b"abc"
        assert project.blobs.path(digest).read_bytes() == b"abc"
