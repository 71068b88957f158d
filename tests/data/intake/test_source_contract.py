"""The conformance kit of sources passes a sound source of files and of a table, and catches each that breaks a promise."""

from __future__ import annotations

import inspect

import pyarrow as pa
import pytest

from mlopsfw.errors import DataError
from mlopsfw.roles import SourceOptions, SourceRequest
from mlopsfw.testing.source import SourceConformance

SECRET = "canary-51c0"
URL = f"vault://me:{SECRET}@hall/counters?token={SECRET}"
SHOWN = "vault://hall/counters"


class VaultFile:
    def __init__(self, held, name):
        self.held, self.name, self.relative = held, name, f"day=1/{name}"

    @property
    def shown(self):
        return f"{SHOWN}/{self.name}"

    def facts(self):
        return {"version": self.held["version"]}

    def unchanged(self, known):
        return known == self.facts()

    def fetch(self, to, received):
        data = self.held["files"][self.name]
        to.write_bytes(data)
        received(len(data), len(data))


class VaultFiles:
    queries = False
    file = VaultFile

    def __init__(self, held):
        self.held = held

    def find(self, request):
        if not request.url.startswith("vault://me") or "nowhere" in request.url:
            raise DataError(f"there is nothing at {SHOWN.replace('counters', 'nowhere')}")
        return [self.file(self.held, name) for name in self.held["files"]]


class VaultTable:
    shown = SHOWN

    def __init__(self, held):
        self.held = held

    def facts(self):
        return {"version": self.held["version"]}

    def unchanged(self, known):
        return known == self.facts()

    def size(self):
        return None

    def read(self, _options, rejects):
        with self.held["path"].open("rb"):
            yield pa.RecordBatch.from_pylist([], schema=self.held["table"].schema)
            yield from self.held["table"].to_batches()
            if self.held["bad"]:
                if rejects is None:
                    raise DataError(f"{SHOWN}: row 4: no number")
                rejects.add(SHOWN, 4, "no number", "x")


class VaultTables:
    queries = True
    table = VaultTable

    def __init__(self, held):
        self.held = held

    def find(self, request):
        if request.table == "nowhere":
            raise DataError("there is no table nowhere")
        return self.table(self.held | {"bad": True} if request.table == "spoiled" else self.held)


def asked(url=URL, table=""):
    return SourceRequest(url=url, named="env:VAULT", options=SourceOptions(), table=table)


def of_files(folder, make=VaultFiles):
    held = {"version": 1, "files": {"a.csv": b"n\n1\n" * 50, "b.csv": b"n\n2\n"}}
    return make(held), {
        "place": asked(),
        "content": dict(held["files"]),
        "missing": asked(URL.replace("counters", "nowhere")),
        "change": lambda: held.update(version=2),
        "secret": SECRET,
        "spoiled": None,
    }


def of_table(folder, make=VaultTables):
    held = {"version": 1, "table": pa.table({"n": [1, 2, 3]}), "path": folder / "vault", "bad": False, "open": []}
    held["path"].touch()
    return make(held), {
        "place": asked(table="counters"),
        "content": held["table"],
        "missing": asked(table="nowhere"),
        "change": lambda: held.update(version=2),
        "secret": SECRET,
        "spoiled": (asked(table="spoiled"), 4),
    }


def failures(source, given, folder):
    """Return the names of the kit's tests that a source fails."""
    failed = []
    for name in (name for name in dir(SourceConformance) if name.startswith("test_")):
        test = getattr(SourceConformance(), name)
        wants = inspect.signature(test).parameters
        values = {"source": source, "tmp_path": folder} | given
        for end in ("closed", "read") if "end" in wants else ("",):
            try:
                test(**{key: value for key, value in (values | {"end": end}).items() if key in wants})
            except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever a kit's test raises
                failed.append(name)
    return failed


@pytest.mark.parametrize("made", [of_files, of_table])
def test_a_sound_source_passes(made, tmp_path):
    assert failures(*made(tmp_path), tmp_path) == []


def file(**changes):
    return type("File", (VaultFile,), changes)


def short(self, to, received):
    to.write_bytes(self.held["files"][self.name][:-1])
    received(1, 1)


def appended(self, to, received):
    with to.open("ab") as out:
        out.write(self.held["files"][self.name])


def backwards(self, to, received):
    VaultFile.fetch(self, to, received)
    received(1, None)


MUTANT_FILES = {
    "cuts a file short": file(fetch=short),
    "appends to what is there": file(fetch=appended),
    "tells progress that shrinks": file(fetch=backwards),
    "shows a credential": file(shown=property(lambda self: f"{URL}/{self.name}")),
    "keeps a credential in its facts": file(facts=lambda self: {"version": self.held["version"], "url": URL}),
    "calls all files the same": file(shown=SHOWN),
    "has a name that leaves the folder": file(name=property(lambda _: "../x.csv", lambda *_: None)),
    "lies outside the place": file(relative=property(lambda _: "/etc/x.csv", lambda *_: None)),
    "says that all is unchanged": file(unchanged=lambda *_: True),
    "says that nothing is unchanged": file(unchanged=lambda *_: False),
    "does not notice a change": file(unchanged=lambda _, known: bool(known)),
    "has facts that JSON does not hold": file(facts=lambda _: {"version": {1, 2}}),
    "has facts that JSON changes": file(facts=lambda _: {"version": (1, 2)}, unchanged=lambda _, known: bool(known)),
}


@pytest.mark.parametrize("fault", MUTANT_FILES)
def test_a_file_that_breaks_a_promise_is_caught(fault, tmp_path):
    made = of_files(tmp_path, type("Files", (VaultFiles,), {"file": MUTANT_FILES[fault]}))
    assert failures(*made, tmp_path)


def nameless(self, request):
    if "nowhere" in request.url:
        raise DataError("oops")
    return VaultFiles.find(self, request)


def repeating(self, request):
    if "nowhere" in request.url:
        raise DataError(f"there is nothing at {request.url}")
    return VaultFiles.find(self, request)


MUTANT_SOURCES = {
    "reads files in another order": {"find": lambda self, request: VaultFiles.find(self, request)[::-1]},
    "leaves a file out": {"find": lambda self, request: VaultFiles.find(self, request)[1:]},
    "answers nothing where there is nothing": {
        "find": lambda self, request: [] if "nowhere" in request.url else VaultFiles.find(self, request)
    },
    "answers files by a generator": {"find": lambda self, request: (each for each in VaultFiles.find(self, request))},
    "asks for a query that it does not read": {"queries": True},
    "repeats the URL in an error": {"find": repeating},
    "raises what is no error of mlopsfw": {
        "find": lambda self, request: {}["nowhere"] if "nowhere" in request.url else VaultFiles.find(self, request)
    },
    "does not name the place that is missing": {"find": nameless},
}


@pytest.mark.parametrize("fault", MUTANT_SOURCES)
def test_a_source_that_breaks_a_promise_is_caught(fault, tmp_path):
    made = of_files(tmp_path, type("Files", (VaultFiles,), MUTANT_SOURCES[fault]))
    assert failures(*made, tmp_path)


def leaking(self, options, rejects):
    self.held["open"].append(self.held["path"].open("rb"))
    yield from VaultTable.read(self, options, rejects)


def two_schemas(self, _options, _rejects):
    yield pa.RecordBatch.from_pylist([], schema=pa.schema([("n", pa.int32())]))
    yield from self.held["table"].to_batches()


def once(self, options, rejects):
    if self.held.setdefault("read", 0):
        return
    self.held["read"] = 1
    yield from VaultTable.read(self, options, rejects)


def silent(self, options, _rejects):
    yield from VaultTable.read(type(self)(self.held | {"bad": False}), options, None)


def elsewhere(self, options, rejects):
    class Sink:
        add = staticmethod(lambda source, line, reason, raw: rejects.add(source, line - 1, reason, raw))

    yield from VaultTable.read(self, options, Sink if rejects else None)


MUTANT_TABLES = {
    "leaves a file open": {"read": leaking},
    "changes its schema": {"read": two_schemas},
    "can be read once": {"read": once},
    "drops a bad row in silence": {"read": silent},
    "counts bad rows from 0": {"read": elsewhere},
    "has no batch without rows": {"read": lambda *_: iter(())},
    "does not know its size and says so in words": {"size": lambda _: "unknown"},
    "shows its password": {"shown": URL},
    "says that it is unchanged without facts": {"facts": lambda _: {}, "unchanged": lambda *_: True},
}


@pytest.mark.parametrize("fault", MUTANT_TABLES)
def test_a_table_that_breaks_a_promise_is_caught(fault, tmp_path):
    table = type("Table", (VaultTable,), MUTANT_TABLES[fault])
    source, given = of_table(tmp_path, type("Tables", (VaultTables,), {"table": table}))
    try:
        assert failures(source, given, tmp_path)
    finally:
        for opened in source.held["open"]:
            opened.close()
