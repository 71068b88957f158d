"""The index: derived, incremental, shared, rebuilt from nothing or from rubbish with the same answers."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import zlib
from collections import Counter
from hashlib import sha256

import msgspec
import pytest

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import Conflict, StorageUnavailable, UsageError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.index import Index, IndexPart
from mlopsfw.kernel.ledger import Ledger
from mlopsfw.kernel.ledger.reader import Reader
from mlopsfw.project.components import bundled, index_parts
from mlopsfw_storage_object.local import LocalStorage

ARTIFACT = {"kind": "json", "digest": "0" * 64, "blob": "0" * 64}


@pytest.fixture
def ledger(tmp_path):
    return Ledger(LocalStorage(tmp_path / "store"), actor=lambda: "ada@here", clock=SystemClock(), types=EventTypes())


@pytest.fixture
def index(tmp_path, ledger):
    index = Index(tmp_path / "index.sqlite", ledger, index_parts(bundled(None)))
    yield index
    index.close()


def populate(ledger):
    run = ledger.stream("run/a")
    run.append(PlainRecord("run.started", {"pipeline": "flights", "code": {"commit": "abc"}}), expecting=0)
    run.append(PlainRecord("step.started", {"step": "train", "attempt": 1}))
    run.append(PlainRecord("step.failed", {"step": "train", "attempt": 1, "type": "ValueError", "message": "no"}))
    run.append(PlainRecord("step.started", {"step": "train", "attempt": 2}))
    facts = {"outputs": {"result": ARTIFACT}, "metrics": {"auc": 0.75, "loss": None}, "seconds": 2.5, "node": "n1"}
    run.append(PlainRecord("step.finished", {"step": "train", "attempt": 2, **facts}))
    run.append(PlainRecord("step.cached", {"step": "split", "outputs": {"result": ARTIFACT}, "from_run": "0"}))
    run.append(PlainRecord("run.finished", {"status": "failed", "exit_code": 1, "seconds": 3.0}))
    run.takeover(expecting=7)
    run.seal(PlainRecord("run.finished", {"status": "done", "exit_code": 0, "seconds": 4.0}))
    model = ledger.stream("model/delay")
    for version in (1, 2):
        model.append(
            PlainRecord("version.registered", {"version": version, "bundle": "b" * 64, "run": "a", "task": "binary"})
        )
    model.append(PlainRecord("version.approved", {"version": 2}))
    model.append(PlainRecord("alias.moved", {"alias": "champion", "version": 1, "was": None}))
    model.append(PlainRecord("alias.moved", {"alias": "champion", "version": 2, "was": 1}))
    data = {"version": 1, "table_version": 0, "digest": "d" * 64, "rows": 10, "mode": "append"}
    ledger.stream("dataset/flights").append(PlainRecord("dataset.committed", data))
    ledger.stream("endpoint/delay").append(
        PlainRecord("endpoint.wanted", {"revision": 1, "model": "delay", "version": 2})
    )
    ledger.stream("endpoint/delay").append(PlainRecord("endpoint.ready", {"revision": 1, "url": "http://127.0.0.1:1"}))
    window = {"monitor": "drift", "start": "2013-04-01", "end": "2013-04-08", "rows": 5, "alarm": True}
    ledger.stream("monitor/delay").append(PlainRecord("window.examined", window))
    alert = {
        "id": "x",
        "group": "delay/drift",
        "severity": "warning",
        "title": "drift",
        "text": "",
        "time": "2013",
        "project": "p",
    }
    ledger.stream("alerts").append(PlainRecord("alert.raised", {"alert": alert}))
    ledger.stream("alerts").append(PlainRecord("alert.acknowledged", {"id": "x"}))
    ledger.stream("project").append(PlainRecord("something.else", {"unknown": 1}))


def everything(index):
    tables = [row["name"] for row in index.query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    found = {name: index.query(f'SELECT * FROM "{name}"') for name in tables if name != "lines"}
    return found | {"lines": {name: list(index.lines(name)) for name in index.streams("")}}


def test_it_answers_from_every_stream(index, ledger):
    populate(ledger)
    run = index.query("SELECT status, pipeline, exit_code, seconds, actor, facts ->> '$.code.commit' AS code FROM runs")
    assert run == [
        {"status": "done", "pipeline": "flights", "exit_code": 0, "seconds": 7.0, "actor": "ada@here", "code": "abc"}
    ]
    assert index.query("SELECT step, status, attempt, failure, from_run FROM steps ORDER BY step") == [
        {"step": "split", "status": "cached", "attempt": None, "failure": None, "from_run": "0"},
        {"step": "train", "status": "done", "attempt": 2, "failure": None, "from_run": None},
    ]
    assert index.query("SELECT run FROM metrics WHERE name = ? AND value > ?", ["auc", 0.7]) == [{"run": "a"}]
    assert index.query("SELECT version, approved_by FROM versions ORDER BY version") == [
        {"version": 1, "approved_by": None},
        {"version": 2, "approved_by": "ada@here"},
    ]
    assert index.query("SELECT alias, version, was FROM aliases") == [{"alias": "champion", "version": 2, "was": 1}]
    assert index.query("SELECT dataset, version, rows FROM datasets") == [
        {"dataset": "flights", "version": 1, "rows": 10}
    ]
    assert index.query("SELECT state, url, model FROM revisions") == [
        {"state": "ready", "url": "http://127.0.0.1:1", "model": "delay"}
    ]
    assert index.query("SELECT monitor, alarm FROM windows") == [{"monitor": "drift", "alarm": 1}]
    assert index.query('SELECT "group", state FROM alerts') == [{"group": "delay/drift", "state": "acknowledged"}]


def test_only_what_changed_is_read(index, ledger, monkeypatch):
    populate(ledger)
    index.refresh()
    read = []
    real = Reader.entries
    monkeypatch.setattr(Reader, "entries", lambda self, head: (read.append(self._stream), real(self, head))[1])
    assert index.refresh() == 0
    assert read == []
    ledger.stream("model/delay").append(PlainRecord("alias.moved", {"alias": "challenger", "version": 1}))
    read.clear()
    assert index.refresh() == 1
    assert read == ["model/delay"]


def test_step_by_step_equals_at_once(tmp_path, ledger, index):
    for stream in ("run/a", "run/b", "endpoint/x"):
        for n in range(1005):
            ledger.stream(stream).append(PlainRecord("step.started", {"step": f"s{n % 7}", "attempt": n}))
            if n % 200 == 0:
                index.refresh()
    ledger.stream("run/a").seal(PlainRecord("run.finished", {"status": "done"}))
    index.refresh()
    fresh = Index(tmp_path / "fresh.sqlite", ledger, index_parts(bundled(None)))
    assert everything(fresh) == everything(index)
    assert index.differences(tmp_path / "anew.sqlite") == []
    fresh.close()


@pytest.mark.parametrize(
    "harm", ["deleted", "rubbish", "truncated", "flipped header", "another version", "flipped pages"]
)
def test_a_missing_or_damaged_index_is_made_anew_with_the_same_answers(tmp_path, ledger, harm):
    populate(ledger)
    file = tmp_path / "index.sqlite"
    first = Index(file, ledger, index_parts(bundled(None)))
    before = everything(first)
    first._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if harm == "another version":
        first._connection().execute(f"PRAGMA user_version = {first._version ^ 1}")
    first.close()
    data = file.read_bytes()
    harmed = {
        "rubbish": b"not a database " * 1000,
        "truncated": data[: len(data) // 2],
        "flipped header": b"X" + data[1:],
        "flipped pages": data[:4096] + bytes(len(data) - 4096),
    }
    if harm == "deleted":
        file.unlink()
    elif harm in harmed:
        file.write_bytes(harmed[harm])
    again = Index(file, ledger, index_parts(bundled(None)))
    try:
        assert everything(again) == before
    finally:
        again.close()


def test_rebuild_gives_the_same_answers(index, ledger):
    populate(ledger)
    before = everything(index)
    assert index.rebuild() == sum(row["seq"] for row in before["positions"])
    assert everything(index) == before


def test_a_ledger_that_was_replaced_is_noticed(tmp_path, ledger, index):
    populate(ledger)
    index.refresh()
    other = Ledger(LocalStorage(tmp_path / "other"), actor=lambda: "b", clock=SystemClock(), types=EventTypes())
    other.stream("run/z").append(PlainRecord("run.started", {"pipeline": "p"}))
    replaced = Index(tmp_path / "index.sqlite", other, index_parts(bundled(None)))
    assert replaced.query("SELECT run FROM runs") == [{"run": "z"}]
    assert replaced.query("SELECT * FROM versions") == []
    replaced.close()


def test_processes_may_refresh_one_file_at_once(tmp_path, ledger):
    for n in range(200):
        ledger.stream(f"run/r{n}").append(PlainRecord("run.started", {"pipeline": "p"}), expecting=0)
    code = (
        "import sys, pathlib\n"
        "from mlopsfw_storage_object.local import LocalStorage\n"
        "from mlopsfw.kernel.base.clock import SystemClock\nfrom mlopsfw.kernel.events.registry import EventTypes\nfrom mlopsfw.kernel.index import Index\nfrom mlopsfw.kernel.ledger import Ledger\nfrom mlopsfw.project.components import bundled, index_parts\n"
        f"root = pathlib.Path({str(tmp_path)!r})\n"
        "index = Index(root / 'index.sqlite', Ledger(LocalStorage(root / 'store'), actor=lambda: 'a', clock=SystemClock(), types=EventTypes()), index_parts(bundled(None)))\n"
        "print(len(index.query('SELECT * FROM runs')))\n"
    )
    racers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert [racer.communicate()[0].strip() for racer in racers] == ["200"] * 6


def test_the_query_cannot_write(index):
    index.refresh()
    with pytest.raises(UsageError, match="one SELECT"):
        index.query("DELETE FROM runs")


def test_a_query_without_end_ends_with_its_time(index):
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(UsageError, match=r"longer than 0\.1 seconds"):
        index.query(endless, seconds=0.1)
    assert index.query("SELECT 1 AS one", seconds=5) == [{"one": 1}]
    with pytest.raises(UsageError, match="one SELECT"):
        index.query("SELECT nothing FROM nowhere", seconds=5)


class Counting(LocalStorage):
    """Counts the calls of each kind."""

    def __init__(self, root):
        super().__init__(root)
        self.calls = Counter()

    def put_if_absent(self, key, data):
        self.calls["put"] += 1
        return super().put_if_absent(key, data)

    def get(self, key, **part):
        self.calls["get"] += 1
        return super().get(key, **part)

    def list(self, prefix="", **more):
        self.calls["list"] += 1
        return super().list(prefix, **more)


def test_a_run_costs_its_events_and_one_segment_and_the_search_of_runs_uses_an_index(tmp_path):
    storage = Counting(tmp_path / "counted")
    ledger = Ledger(storage, actor=lambda: "a", clock=SystemClock(), types=EventTypes())
    for n in range(100):
        stream = ledger.stream(f"run/{n:026d}")
        stream.append(PlainRecord("run.started", {"pipeline": "p"}), expecting=0)
        stream.append(
            PlainRecord("step.finished", {"step": "train", "attempt": 1, "outputs": {}, "metrics": {"auc": n / 100}})
        )
        stream.seal(PlainRecord("run.finished", {"status": "done", "exit_code": 0, "seconds": 1.0}))
    assert storage.calls["put"] == 400  # three events and the segment that gathers them
    assert storage.calls["list"] == 0
    assert storage.calls["get"] <= 900
    index = Index(tmp_path / "index.sqlite", ledger, index_parts(bundled(None)))
    search = "SELECT run, value FROM metrics JOIN runs USING (run) WHERE name = 'auc' ORDER BY value DESC LIMIT 3"
    assert [row["value"] for row in index.query(search)] == [0.99, 0.98, 0.97]
    plan = " ".join(row["detail"] for row in index.query(f"EXPLAIN QUERY PLAN {search}"))
    assert "metrics_by_value" in plan
    assert "TEMP B-TREE" not in plan
    index.close()


# -- the copy of the ledger ----------------------------------------------------------------------------------------------------


def test_within_a_snapshot_streams_are_read_from_the_copy_as_of_its_beginning(tmp_path):
    storage = Counting(tmp_path / "counted")
    ledger = Ledger(storage, actor=lambda: "a", clock=SystemClock(), types=EventTypes())
    for n in range(5):
        ledger.stream("model/delay").append(PlainRecord("version.registered", {"version": n + 1}))
    ledger.stream("run/a").seal(PlainRecord("run.started", {}))
    other = Ledger(storage, actor=lambda: "b", clock=SystemClock(), types=EventTypes())
    index = Index(tmp_path / "index.sqlite", other, index_parts(bundled(None)))
    with index.pinned():
        ledger.stream("model/delay").append(PlainRecord("version.registered", {"version": 6}))
        storage.calls.clear()
        assert list(other.streams()) == ["model/delay", "run/a"]
        assert list(other.streams("run/")) == ["run/a"]
        assert [e.body["version"] for e in other.stream("model/delay").events()] == [1, 2, 3, 4, 5]
        assert list(other.stream("run/gone").events()) == []
        assert storage.calls == {}
        with pytest.raises(Conflict):  # an append goes to the store
            other.stream("model/delay").append(PlainRecord("a.b", {}), expecting=5)
        before = len(list(other.stream("model/delay").events()))
        event = other.stream("model/delay").append(PlainRecord("a.b", {"before": before}), expecting=before)
        assert (event.seq, event.body) == (7, {"before": 6})
    assert len(list(other.stream("model/delay").events())) == 7
    index.close()


def test_a_damaged_copy_is_not_believed(tmp_path, ledger):
    for n in range(5):
        ledger.stream("model/delay").append(PlainRecord("version.registered", {"version": n + 1}))
    other = Ledger(ledger.storage, actor=lambda: "b", clock=SystemClock(), types=EventTypes())
    index = Index(tmp_path / "index.sqlite", other, index_parts(bundled(None)))
    index.refresh()
    line = next(iter(index.lines("model/delay"))).replace(b'"version":1', b'"version":9', 1)
    with sqlite3.connect(tmp_path / "index.sqlite") as db:
        db.execute("UPDATE lines SET data = ?", (zlib.compress(line),))
    db.close()
    with index.pinned():
        assert [e.body["version"] for e in other.stream("model/delay").events()] == [1, 2, 3, 4, 5]
    index.close()


# -- a cold machine ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path):
    """A store of 250 ended runs, and its calls."""
    storage = Counting(tmp_path / "counted")
    ledger = Ledger(storage, actor=lambda: "a", clock=SystemClock(), types=EventTypes())
    for n in range(250):
        stream = ledger.stream(f"run/{n:026d}")
        stream.append(PlainRecord("run.started", {"pipeline": "p"}), expecting=0)
        stream.seal(PlainRecord("run.finished", {"status": "done", "exit_code": 0, "seconds": 1.0}))
    return storage


def cold(storage, path, **options):
    ledger = Ledger(storage, actor=lambda: "b", clock=SystemClock(), types=EventTypes())
    return Index(path, ledger, index_parts(bundled(None)), **options)


def test_a_cold_machine_starts_from_the_snapshot_of_another_and_rolls_forward(many, tmp_path):
    first = cold(many, tmp_path / "first.sqlite")
    many.calls.clear()
    assert first.refresh() == 500
    assert many.calls["get"] >= 250
    for n in range(3):
        Ledger(many, actor=lambda: "a", clock=SystemClock(), types=EventTypes()).stream(f"run/new{n}").seal(
            PlainRecord("run.started", {})
        )
    second = cold(many, tmp_path / "second.sqlite")
    many.calls.clear()
    assert second.refresh() == 503
    assert many.calls["get"] <= 1 + 3 * 3
    assert many.calls["list"] <= 2
    first.refresh()
    assert second.differences(tmp_path / "anew.sqlite") == []
    assert second.rebuild() == 503
    first.close()
    second.close()


@pytest.mark.parametrize("harm", ["deleted", "flipped", "rubbish under its own digest", "another chain"])
def test_a_snapshot_that_is_gone_or_does_not_hold_together_is_not_used(many, tmp_path, harm):
    first = cold(many, tmp_path / "first.sqlite")
    first.refresh()
    (entry,) = many.list("snapshots/")
    data = many.get(entry.key)
    many.delete(entry.key)
    if harm == "flipped":
        many.put(entry.key, data[:-1] + bytes([data[-1] ^ 1]))
    elif harm != "deleted":
        wrong = b"rubbish"
        if harm == "another chain":
            copies = msgspec.msgpack.decode(data)
            line = zlib.decompress(copies[0][2][0]).replace(b'"pipeline":"p"', b'"pipeline":"q"', 1)
            copies[0][2][0] = zlib.compress(line)
            wrong = msgspec.msgpack.encode(copies)
        many.put(f"snapshots/{1000:012d}-{sha256(wrong).hexdigest()}", wrong)
    second = cold(many, tmp_path / "second.sqlite")
    assert second.refresh() == 500
    assert second.differences(tmp_path / "anew.sqlite") == []
    first.close()
    second.close()


def test_two_components_that_follow_one_event_both_see_it(tmp_path, ledger):
    def part(table):
        def change(db, name, _):
            db.execute(f"INSERT INTO {table} VALUES (?)", (name,))

        return IndexPart(tables=f"CREATE TABLE {table} (name TEXT)", changes={("run", "run.finished"): change})

    ledger.stream("run/a").append(PlainRecord("run.finished", {}))
    both = Index(tmp_path / "both.sqlite", ledger, [part("ours"), part("theirs")])
    assert both.query("SELECT * FROM ours JOIN theirs USING (name)") == [{"name": "a"}]
    both.close()


def test_a_semicolon_within_a_statement_ends_none(tmp_path, ledger):
    script = """CREATE TABLE a (n INTEGER DEFAULT (length(';')));
        CREATE TABLE b (n INTEGER); CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO b VALUES (1); END;"""
    made = Index(tmp_path / "made.sqlite", ledger, [IndexPart(tables=script, changes={})])
    assert made.counts().keys() >= {"a", "b"}
    made.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "ATTACH 'other.sqlite' AS other",
        "PRAGMA user_version = 5",
        "PRAGMA table_list",
        "DELETE FROM runs",
        "CREATE TEMP TABLE t (n)",
        "SELECT ?",
        "SELECT * FROM nothing",
        "VACUUM INTO 'copy.sqlite'",
        "",
    ],
)
def test_a_wrong_question_is_no_damage(index, ledger, tmp_path, monkeypatch, sql):
    monkeypatch.chdir(tmp_path)
    populate(ledger)
    index.refresh()
    monkeypatch.setattr(index, "rebuild", lambda: pytest.fail("made anew"))
    before = set(tmp_path.iterdir())
    if sql:
        with pytest.raises(UsageError, match="the index refuses"):
            index.query(sql)
    else:
        assert index.query(sql) == []
    assert set(tmp_path.iterdir()) == before
    assert index.query(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION SELECT i + 1 FROM n WHERE i < 3) SELECT max(i) AS i FROM n"
    ) == [{"i": 3}]


def test_an_index_is_compared_with_one_of_the_same_events(index, ledger, tmp_path, monkeypatch):
    """Another process appends while the comparison reads."""
    populate(ledger)
    real = Reader.entries

    def entries(self, head):
        new = list(real(self, head))
        ledger.stream("model/delay").append(PlainRecord("alias.moved", {"alias": "late", "version": 1}))
        return iter(new)

    index.refresh()
    monkeypatch.setattr(Reader, "entries", entries)
    assert index.differences(tmp_path / "anew.sqlite") == []
    monkeypatch.undo()
    index._connection().execute("DELETE FROM aliases")
    assert "aliases" in index.differences(tmp_path / "anew.sqlite")


def test_the_end_of_an_inner_pin_leaves_the_outer_one(index, ledger):
    populate(ledger)
    with index.pinned():
        with index.pinned():
            pass
        ledger.stream("run/late").append(PlainRecord("run.started", {}))
        assert "run/late" not in ledger.streams()
    assert "run/late" in ledger.streams()


def test_windows_of_another_version_and_later_looks_stand_beside_the_first(index, ledger):
    window = {"monitor": "drift", "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
    for more in (
        {"version": 1, "alarm": True},
        {"version": 2, "alarm": False},
        {"version": 2, "alarm": True, "look": 2},
    ):
        ledger.stream("monitor/delay").append(PlainRecord("window.examined", {**window, **more}))
    rows = [(r["version"], r["look"], r["alarm"]) for r in index.listing("windows", 10)]
    assert rows == [(2, 2, 1), (2, 1, 0), (1, 1, 1)]


def test_after_a_failed_rollout_the_endpoint_is_listed_with_what_it_serves(index, ledger):
    stream = ledger.stream("endpoint/delay")
    for revision in (1, 2):
        wanted = {"revision": revision, "model": "delay", "version": revision, "bundle": "0" * 64}
        stream.append(PlainRecord("endpoint.wanted", wanted))
        became = ("endpoint.ready", {"revision": 1, "url": "http://127.0.0.1:1"})
        stream.append(PlainRecord(*(became if revision == 1 else ("endpoint.failed", {"revision": 2, "reason": "no"}))))
    (row,) = index.listing("endpoints", 10)
    assert (row["revision"], row["state"], row["url"]) == (1, "ready", "http://127.0.0.1:1")


@pytest.mark.parametrize("store", ["restored from an older copy", "another project's"])
def test_what_only_a_snapshot_knows_is_not_in_the_index(many, tmp_path, store):
    first = cold(many, tmp_path / "first.sqlite")
    first.refresh()
    first.close()
    if store == "restored from an older copy":
        for entry in list(many.list("ledger/run/")):
            if "1" in entry.key.removeprefix("ledger/run/").partition("/")[0]:
                many.delete(entry.key)
        storage = many
    else:
        storage = Counting(tmp_path / "another")
        (snapshot,) = many.list("snapshots/")
        storage.put(snapshot.key, many.get(snapshot.key))
        for n in range(250):
            Ledger(storage, actor=lambda: "a", clock=SystemClock(), types=EventTypes()).stream(f"run/x{n}").seal(
                PlainRecord("run.started", {})
            )
    second = cold(storage, tmp_path / "second.sqlite")
    names = list(Ledger(storage, actor=lambda: "a", clock=SystemClock(), types=EventTypes()).streams("run/"))
    assert 0 < len(names) < 500
    assert {f"run/{row['run']}" for row in second.query("SELECT run FROM runs")} == set(names)
    assert second.differences(tmp_path / "anew.sqlite") == []
    second.close()


def test_a_store_whose_stream_became_another_is_read_anew(tmp_path, ledger, index):
    stream = ledger.stream("model/delay")
    for n in range(3):
        stream.append(PlainRecord("version.registered", {"version": n + 1}))
    index.refresh()
    for entry in list(ledger.storage.list("ledger/model/")):
        if not entry.key.endswith("0000000001.json"):
            ledger.storage.delete(entry.key)
    restored = Ledger(ledger.storage, actor=lambda: "b", clock=SystemClock(), types=EventTypes())
    for version in (7, 8, 9):
        restored.stream("model/delay").append(PlainRecord("version.registered", {"version": version}))
    again = Index(tmp_path / "index.sqlite", restored, index_parts(bundled(None)))
    assert [row["version"] for row in again.query("SELECT version FROM versions ORDER BY version")] == [1, 7, 8, 9]
    again.close()


@pytest.mark.parametrize(
    "tables",
    [
        "CREATE TABLE evil (a INTEGER PRIMARY KEY AUTOINCREMENT)",
        "CREATE VIRTUAL TABLE evil USING fts5(a)",
        "CREATE TABLE evil (a INTEGER); CREATE VIEW seen AS SELECT a FROM evil; CREATE INDEX by_a ON evil (a)",
        "CREATE TABLE evil (a INTEGER) -- one; of a kind\n;",
    ],
)
def test_tables_of_every_kind_go_with_their_component(tmp_path, ledger, tables):
    populate(ledger)
    file = tmp_path / "shared.sqlite"
    parts = index_parts(bundled(None))
    before = Index(file, ledger, [*parts, IndexPart(tables=tables, changes={})])
    before.refresh()
    before.close()
    after = Index(file, ledger, parts)
    assert len(after.query("SELECT * FROM runs")) > 0
    assert "evil" not in after.counts()
    after.close()


def test_an_index_that_cannot_be_opened_is_said(tmp_path, ledger):
    (tmp_path / "folder.sqlite").mkdir()
    with pytest.raises(StorageUnavailable, match=r"folder\.sqlite"):
        Index(tmp_path / "folder.sqlite", ledger, index_parts(bundled(None))).query("SELECT 1")
