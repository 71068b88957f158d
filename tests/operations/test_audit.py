"""The audit names what is wrong, and every flipped bit is wrong."""

from __future__ import annotations

import random
from typing import ClassVar

import pytest

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.events.record import EventRecord, PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger
from mlopsfw.kernel.ledger.layout import entry_key, segment_key
from mlopsfw.operations.audit import audit
from mlopsfw_storage_object.local import LocalStorage


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "store")
    ledger = Ledger(storage, actor=lambda: "ada@here", clock=SystemClock(), types=EventTypes())
    for n in range(3):
        ledger.stream("model/delay").append(PlainRecord("a.b", {"n": n}))
        ledger.stream("run/a").append(PlainRecord("a.b", {"n": n}))
    ledger.stream("run/a").seal(PlainRecord("run.finished", {}))
    ledger.stream("labels/x/y").append(PlainRecord("a.b", {}))
    ledger.stream("labels/x").append(PlainRecord("a.b", {}))
    return storage


def test_a_whole_ledger_has_no_problems(storage):
    found = {stream.stream: stream for stream in audit(storage)}
    assert {name: (s.entries, s.sealed, s.problems, s.leftovers) for name, s in found.items()} == {
        "labels/x": (1, False, [], []),
        "labels/x/y": (1, False, [], []),
        "model/delay": (3, False, [], []),
        "run/a": (4, True, [], []),
    }
    assert all(len(stream.head) == 64 for stream in found.values())
    assert [stream.stream for stream in audit(storage, "run/")] == ["run/a"]


def problems(storage):
    return [problem for stream in audit(storage) for problem in stream.problems]


@pytest.mark.parametrize("key", [entry_key("model/delay", 2), entry_key("model/delay", 3), segment_key("run/a", 1)])
def test_each_of_500_flipped_bits_is_found(storage, key):
    rng = random.Random(key)
    whole = storage.get(key)
    for _ in range(500):
        bit = rng.randrange(len(whole) * 8)
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        storage.put(key, bytes(data))
        assert problems(storage), f"bit {bit} of {key}"
    storage.put(key, whole)
    assert problems(storage) == []


class Counted(EventRecord, frozen=True, kw_only=True):
    type = "a.b"
    n: int


class CountedTwice(Counted, frozen=True, kw_only=True):
    schema = 2
    upcasters: ClassVar = {1: lambda body: {"n": body["n"].upper()}}


def test_an_event_that_no_fold_can_read_is_named_with_stream_and_number_and_field(storage):
    malformed = [problem for stream in audit(storage, types=EventTypes([Counted])) for problem in stream.problems]
    where = "the body of a.b is malformed: Object missing required field `n`"
    assert malformed == [f"labels/x #1: {where}", f"labels/x/y #1: {where}"]
    assert problems(storage) == []  # the chain alone is whole


def test_an_event_whose_upcaster_fails_is_named_and_one_of_a_newer_version_is_passed_over(storage):
    upcast = [problem for stream in audit(storage, "model/", EventTypes([CountedTwice])) for problem in stream.problems]
    assert [problem.partition(": ")[0] for problem in upcast] == ["model/delay #1", "model/delay #2", "model/delay #3"]
    ledger = Ledger(storage, actor=lambda: "ada@here", clock=SystemClock(), types=EventTypes())
    ledger.stream("newer/x").append(PlainRecord("a.b", {}, schema=9))
    assert [stream.problems for stream in audit(storage, "newer/", EventTypes([Counted]))] == [[]]


def test_a_missing_entry_is_named(storage):
    storage.delete(entry_key("model/delay", 2))
    assert problems(storage) == ["model/delay #3 lies beyond the end, #1: entries are missing between"]


def test_objects_that_belong_to_no_stream_are_named(storage):
    storage.put("ledger/model/delay/notes.txt", b"")
    assert problems(storage) == ["ledger/model/delay/notes.txt belongs to no stream"]


def test_what_a_crash_left_behind_is_no_problem_but_named(storage):
    storage.put(entry_key("run/a", 1), storage.get(segment_key("run/a", 1)).split(b"\n")[0])
    (found,) = audit(storage, "run/")
    assert (found.problems, found.leftovers) == ([], [entry_key("run/a", 1)])
