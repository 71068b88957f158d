"""The ledgers that earlier releases wrote, kept as they were, are read by this one. They are never made anew: add the next one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.index import Index
from mlopsfw.kernel.ledger import Ledger
from mlopsfw.operations.audit import audit
from mlopsfw.project.components import bundled, event_types, index_parts
from mlopsfw_storage_object.local import LocalStorage

LEDGERS = Path(__file__).parent / "ledgers"


@pytest.fixture
def storage(tmp_path):
    shutil.copytree(LEDGERS / "1", tmp_path / "store")
    return LocalStorage(tmp_path / "store")


def test_a_ledger_of_format_1_is_whole_and_says_what_it_said(storage):
    heads = {found.stream: (found.entries, found.head, found.sealed, found.problems) for found in audit(storage)}
    assert heads == {
        "model/delay": (2, "9805fd68ed1ca16952da8e03526fd6f83acf0ee3fd7596b4ac47f09d65690db7", False, []),
        "run/01hq5v3k8j0000000000000000": (
            4,
            "d636aa2c825e5c8d46e2afa65aa8286db4f0c622d98423651201ad71835d0ab1",
            True,
            [],
        ),
    }
    run = list(
        Ledger(storage, actor=lambda: "b", clock=SystemClock(), types=EventTypes())
        .stream("run/01hq5v3k8j0000000000000000")
        .events()
    )
    assert [(e.type, e.epoch, e.final) for e in run] == [
        ("run.started", 0, False),
        ("step.finished", 0, False),
        ("takeover", 1, False),
        ("run.finished", 1, True),
    ]
    assert run[0].body == {"pipeline": "flights", "environment": "é ☃ \u2028"}
    assert (run[0].time, run[0].actor) == ("2013-01-01T06:00:01.500000Z", "ada@here")


def test_a_ledger_of_format_1_is_gone_on_with_and_indexed(storage, tmp_path):
    ledger = Ledger(storage, actor=lambda: "b", clock=SystemClock(), types=EventTypes())
    event = ledger.stream("model/delay").append(PlainRecord("version.registered", {"version": 2, "bundle": "1" * 64}))
    assert event.seq == 3
    assert [found.problems for found in audit(storage)] == [[], []]
    index = Index(tmp_path / "index.sqlite", ledger, index_parts(bundled(None)))
    assert index.query("SELECT version FROM versions") == [{"version": 1}, {"version": 2}]
    assert index.query("SELECT status, seconds FROM runs") == [{"status": "done", "seconds": 2.5}]
    index.close()


@pytest.mark.parametrize("folder", sorted(LEDGERS.iterdir()), ids=lambda folder: f"format {folder.name}")
def test_each_event_of_an_earlier_ledger_is_of_a_declared_type_and_reads_as_its_record(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "store")
    types = event_types(bundled(None))
    records = {record.type: record for record in types}
    ledger = Ledger(LocalStorage(tmp_path / "store"), actor=lambda: "b", clock=SystemClock(), types=types)
    events = [event for name in ledger.streams() for event in ledger.stream(name).events()]
    assert events
    for event in events:
        record = records[event.type]
        assert record.of(event).type == event.type
        assert event.version == record.schema
        assert all(len(blob.digest) == 64 for blob in types.blobs(event))
