"""Streams: numbers without gaps, the chain, optimistic appends, sealing, epochs, and what a reader sees of it all."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import suppress
from hashlib import sha256

import pytest

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import (
    ChainBroken,
    Conflict,
    DataError,
    Fenced,
    LedgerError,
    NewerVersion,
    StorageUnavailable,
    StreamSealed,
    UsageError,
)
from mlopsfw.kernel.events.lease import Takeover
from mlopsfw.kernel.events.record import EventRecord, PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger, codec
from mlopsfw.kernel.ledger.layout import WINDOW, entry_key, segment_key
from mlopsfw.operations.audit import audit
from mlopsfw_storage_object.local import LocalStorage


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "store")


@pytest.fixture
def ledger(storage):
    return open_ledger(storage)


def open_ledger(storage, **options):
    defaults = {"actor": lambda: "ada@here", "types": EventTypes()}
    return Ledger(storage, clock=SystemClock(), **{**defaults, **options})


def bodies(stream):
    return [event.body["n"] for event in stream.events()]


def keys(storage, prefix=""):
    return [entry.key for entry in storage.list(f"ledger/{prefix}")]


# -- appending and reading -----------------------------------------------------------------------------------------------


def test_events_are_numbered_from_one_without_gaps_and_read_back_as_returned(storage, ledger):
    stream = ledger.stream("model/delay")
    written = [
        stream.append(PlainRecord("version.registered", {"n": n, "deep": {"list": [1, None, "ä"]}})) for n in range(5)
    ]
    assert [event.seq for event in written] == [1, 2, 3, 4, 5]
    assert list(open_ledger(storage).stream("model/delay").events()) == written
    assert list(stream.events(after=3)) == written[3:]
    assert stream.head() == 5
    assert len({event.id for event in written}) == 5
    assert {event.actor for event in written} == {"ada@here"}


def test_each_entry_carries_the_hash_of_the_stored_bytes_before_it(storage, ledger):
    stream = ledger.stream("alerts")
    for n in range(3):
        stream.append(PlainRecord("a.b", {"n": n}))
    lines = [storage.get(entry_key("alerts", seq)) for seq in (1, 2, 3)]
    assert [json.loads(line)["prev"] for line in lines] == ["", *map(codec.digest, lines[:2])]


def test_a_stream_that_does_not_exist_is_empty(ledger):
    stream = ledger.stream("run/none")
    assert stream.head() == 0
    assert list(stream.events()) == []
    assert list(ledger.streams()) == []


def test_streams_are_listed_by_prefix_once_each(ledger):
    for name in ("run/b", "run/a", "model/x", "labels/x", "labels/x/y"):
        for n in range(2):
            ledger.stream(name).append(PlainRecord("a.b", {"n": n}))
    assert list(ledger.streams()) == ["labels/x", "labels/x/y", "model/x", "run/a", "run/b"]
    assert list(ledger.streams("run/")) == ["run/a", "run/b"]


@pytest.mark.parametrize(
    "name", ["", "/", "run/", "../x", "run/../x", "Run/x", "run/a b", "a/b/c/d/e", "run/0000000001.json", ".x", "run/segment-0000000001.jsonl"]
)  # fmt: skip
def test_names_that_could_be_mistaken_are_refused(ledger, name):
    with pytest.raises(UsageError):
        ledger.stream(name)


def test_an_append_from_afar_finds_the_end_without_reading_it_all(storage, ledger):
    for n in range(20):
        ledger.stream("alerts").append(PlainRecord("a.b", {"n": n}))
    got = []
    real = storage.get
    storage.get = lambda key, **options: (got.append(key), real(key, **options))[1]
    other = open_ledger(storage).stream("alerts")
    assert other.append(PlainRecord("a.b", {"n": 20})).seq == 21
    assert len(got) < 6
    assert bodies(other) == list(range(21))


def test_what_another_appended_is_seen(storage, ledger):
    mine, theirs = ledger.stream("alerts"), open_ledger(storage).stream("alerts")
    for n in range(6):
        (mine, theirs)[n % 2].append(PlainRecord("a.b", {"n": n}))
        assert bodies(mine) == bodies(theirs) == list(range(n + 1))


def test_observers_are_told_after_the_append_and_only_of_their_own(storage):
    appended = []
    stream = open_ledger(
        storage, on_append=lambda e: appended.append((e, storage.get(entry_key("alerts", e.seq))))
    ).stream("alerts")
    event = stream.append(PlainRecord("a.b", {"n": 1}))
    open_ledger(storage).stream("alerts").append(PlainRecord("a.b", {"n": 2}))
    assert bodies(stream) == [1, 2]
    assert [e for e, _ in appended] == [event]


def test_the_module_is_light():
    code = (
        "import sys, mlopsfw.kernel.ledger\n"
        "heavy = {'numpy', 'pyarrow', 'polars', 'obstore', 'pluggy', 'click', 'sqlite3'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- deciding -------------------------------------------------------------------------------------------------------------


def test_expecting_is_the_number_of_the_newest_event(ledger):
    stream = ledger.stream("model/delay")
    stream.append(PlainRecord("a.b", {"n": 1}), expecting=0)
    stream.append(PlainRecord("a.b", {"n": 2}), expecting=1)
    for wrong in (0, 1, 3):
        with pytest.raises(Conflict):
            stream.append(PlainRecord("a.b", {"n": 3}), expecting=wrong)
    assert bodies(stream) == [1, 2]


def test_expecting_knows_what_another_appended(storage, ledger):
    mine, theirs = ledger.stream("model/delay"), open_ledger(storage).stream("model/delay")
    assert (mine.head(), theirs.head()) == (0, 0)
    mine.append(PlainRecord("a.b", {"n": 1}))
    theirs.append(PlainRecord("a.b", {"n": 2}), expecting=1)
    with pytest.raises(Conflict):
        mine.append(PlainRecord("a.b", {"n": 3}), expecting=1)
    with pytest.raises(Conflict):
        open_ledger(storage).stream("model/delay").append(PlainRecord("a.b", {"n": 3}), expecting=0)


def append_next(stream, decide):
    """Append what `decide` makes of all events so far; after each lost race it decides anew."""
    while True:
        events = list(stream.events())
        with suppress(Conflict):
            return stream.append(PlainRecord("a.b", decide(events)), expecting=len(events))


def test_an_append_after_all_events_so_far_is_refused_in_a_lost_race_and_the_next_one_knows_them(storage, ledger):
    mine, theirs = ledger.stream("model/delay"), open_ledger(storage).stream("model/delay")
    mine.append(PlainRecord("a.b", {"n": 0}))
    asked = []

    def decide(events):
        asked.append(len(events))
        if len(asked) < 4:
            theirs.append(PlainRecord("a.b", {"n": len(events)}))  # another is first, again and again
        return {"n": len(events)}

    assert append_next(mine, decide).seq == 5
    assert asked == [1, 2, 3, 4]
    assert bodies(mine) == [0, 1, 2, 3, 4]


def test_threads_may_share_a_stream(storage, ledger):
    stream = ledger.stream("alerts")
    threads = [
        threading.Thread(target=lambda: [append_next(stream, lambda events: {"n": len(events)}) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies(open_ledger(storage).stream("alerts")) == list(range(80))


def test_a_body_that_json_cannot_say_is_refused_before_anything_is_stored(storage, ledger):
    with pytest.raises(TypeError):
        ledger.stream("alerts").append(PlainRecord("a.b", {"n": object()}))
    assert keys(storage) == []


# -- ambiguous answers ------------------------------------------------------------------------------------------------------


class Flaky:
    """A storage whose next answers to put_if_absent are scripted: `lost` stores and then fails, `again` stores and says no."""

    def __init__(self, inner, script):
        self._inner, self._script = inner, list(script)

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def put_if_absent(self, key, data):
        answer = self._script.pop(0) if self._script else "true"
        if answer == "down":
            raise StorageUnavailable("nothing was stored")
        created = self._inner.put_if_absent(key, data)
        if answer == "lost":
            raise StorageUnavailable("stored, but the answer was lost")
        return created and answer != "again"


@pytest.mark.parametrize("answer", ["lost", "again"])
def test_our_own_id_at_the_number_is_success(storage, answer):
    stream = open_ledger(Flaky(storage, [answer])).stream("alerts")
    assert stream.append(PlainRecord("a.b", {"n": 1})).seq == 1
    assert stream.append(PlainRecord("a.b", {"n": 2})).seq == 2
    assert bodies(open_ledger(storage).stream("alerts")) == [1, 2]


def test_an_append_that_was_not_stored_is_told_so_and_can_be_tried_again(storage):
    stream = open_ledger(Flaky(storage, ["down"])).stream("alerts")
    with pytest.raises(StorageUnavailable):
        stream.append(PlainRecord("a.b", {"n": 1}))
    assert stream.append(PlainRecord("a.b", {"n": 1})).seq == 1


# -- sealing ----------------------------------------------------------------------------------------------------------------


def test_a_sealed_stream_is_one_object_and_takes_no_more(storage, ledger):
    stream = ledger.stream("run/a")
    for n in range(3):
        stream.append(PlainRecord("a.b", {"n": n}))
    late = open_ledger(storage).stream("run/a")
    assert late.head() == 3
    before = [storage.get(entry_key("run/a", seq)) for seq in (1, 2, 3)]
    event = stream.seal(PlainRecord("run.finished", {"n": 3}))
    assert event.final
    assert keys(storage) == [segment_key("run/a", 1)]
    assert storage.get(segment_key("run/a", 1)).split(b"\n")[:3] == before
    for writer in (stream, late, open_ledger(storage).stream("run/a")):
        with pytest.raises(StreamSealed):
            writer.append(PlainRecord("a.b", {"n": 4}))
        with pytest.raises(StreamSealed):
            writer.append(PlainRecord("a.b", {"n": 4}), expecting=4)
        assert bodies(writer) == [0, 1, 2, 3]
        assert writer.head() == 4
    with pytest.raises((StreamSealed, Conflict)):
        open_ledger(storage).stream("run/a").append(PlainRecord("a.b", {"n": 4}), expecting=0)
    assert keys(storage) == [segment_key("run/a", 1)]


def test_a_long_stream_is_gathered_in_windows(storage, ledger):
    stream = ledger.stream("endpoint/e")
    late = open_ledger(storage).stream("endpoint/e")
    for n in range(2 * WINDOW + 5):
        stream.append(PlainRecord("a.b", {"n": n}))
        if n == WINDOW - 10:
            assert late.head() == n + 1
    assert keys(storage) == [entry_key("endpoint/e", 2 * WINDOW + n) for n in range(1, 6)] + [
        segment_key("endpoint/e", 1),
        segment_key("endpoint/e", WINDOW + 1),
    ]
    assert (
        bodies(late)
        == bodies(stream)
        == bodies(open_ledger(storage).stream("endpoint/e"))
        == list(range(2 * WINDOW + 5))
    )
    other = open_ledger(storage).stream("endpoint/e")
    assert other.append(PlainRecord("a.b", {"n": 2 * WINDOW + 5})).seq == 2 * WINDOW + 6
    other.seal(PlainRecord("a.c", {"n": -1}))
    assert len(keys(storage)) == 3
    assert bodies(late)[-2:] == [2 * WINDOW + 5, -1]


@pytest.mark.parametrize("stop", ["segment", "first deletion", "third deletion"])
def test_a_seal_that_was_cut_short_reads_right_and_is_finished_by_tidy(storage, ledger, monkeypatch, stop):
    stream = ledger.stream("run/a")
    for n in range(5):
        stream.append(PlainRecord("a.b", {"n": n}))
    deleted = []

    def cut(*args):
        deleted.append(args)
        if stop != "third deletion" or len(deleted) == 3:
            raise KeyboardInterrupt
        LocalStorage.delete(storage, *args)

    def cut_segment(key, data):
        if "segment" in key:
            raise KeyboardInterrupt
        return LocalStorage.put_if_absent(storage, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(storage, *(("put_if_absent", cut_segment) if stop == "segment" else ("delete", cut)))
        with pytest.raises(KeyboardInterrupt):
            stream.seal(PlainRecord("run.finished", {"n": 5}))
    assert len(keys(storage)) > 1
    again = open_ledger(storage).stream("run/a")
    assert bodies(again) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(StreamSealed):
        again.append(PlainRecord("a.b", {"n": 6}))
    again.tidy()
    assert keys(storage) == [segment_key("run/a", 1)]
    assert bodies(open_ledger(storage).stream("run/a")) == [0, 1, 2, 3, 4, 5]


def test_a_stray_entry_in_a_sealed_window_never_counts(storage, ledger):
    """A late writer's entry lands where an entry was deleted; until it is taken back, nobody may believe it."""
    stream, late = ledger.stream("run/a"), open_ledger(storage).stream("run/a")
    stream.append(PlainRecord("a.b", {"n": 0}))
    assert late.head() == 1
    stray = late._draft(PlainRecord("a.b", {"n": "stray"}), 0, final=False, plugin="")
    stream.append(PlainRecord("a.b", {"n": 1}))
    stream.seal(PlainRecord("run.finished", {"n": 2}))
    for seq in (1, 2, 3):
        storage.put(entry_key("run/a", seq), codec.encode(stray))
    for reader in (late, open_ledger(storage).stream("run/a")):
        assert reader.head() == 3
        assert bodies(reader) == [0, 1, 2]
        with pytest.raises(StreamSealed):
            reader.append(PlainRecord("a.b", {"n": 3}))
    stream.tidy()
    assert keys(storage) == [segment_key("run/a", 1)]


def test_tidy_leaves_an_open_stream_alone(storage, ledger):
    stream = ledger.stream("run/a")
    stream.append(PlainRecord("a.b", {"n": 0}))
    before = keys(storage)
    stream.tidy()
    assert keys(storage) == before


# -- epochs -----------------------------------------------------------------------------------------------------------------


def test_a_takeover_fences_the_older_writer(storage, ledger):
    old, new = ledger.stream("run/a"), open_ledger(storage).stream("run/a")
    old.append(PlainRecord("run.started", {}), expecting=0, epoch=0)
    assert new.takeover(expecting=1, record=Takeover(holder="no heartbeat")) == 1
    with pytest.raises(Fenced):
        old.append(PlainRecord("run.heartbeat", {}), epoch=0)
    assert new.append(PlainRecord("step.started", {}), epoch=1).epoch == 1
    with pytest.raises(Fenced):
        old.seal(PlainRecord("run.finished", {}), epoch=0)
    assert open_ledger(storage).stream("run/a").append(PlainRecord("note", {})).epoch == 1
    assert [e.epoch for e in new.events()] == [0, 1, 1, 1]


def test_a_takeover_of_what_moved_is_a_conflict(ledger):
    stream = ledger.stream("run/a")
    stream.append(PlainRecord("run.started", {}))
    stream.append(PlainRecord("run.heartbeat", {}))
    with pytest.raises(Conflict):
        stream.takeover(expecting=1)


def test_an_epoch_that_nobody_began_is_fenced(ledger):
    ledger.stream("run/a").append(PlainRecord("run.started", {}))
    with pytest.raises(Fenced):
        ledger.stream("run/a").append(PlainRecord("run.heartbeat", {}), epoch=2)


# -- altered and newer entries ------------------------------------------------------------------------------------------------


@pytest.fixture
def three(storage, ledger):
    for n in range(3):
        ledger.stream("model/delay").append(PlainRecord("a.b", {"n": n}))
    return storage


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_changed_entry_breaks_the_chain(three, seq):
    key = entry_key("model/delay", seq)
    three.put(key, three.get(key).replace(b'"n":', b'"m":'))
    with pytest.raises(ChainBroken, match=f"#{seq}"):
        list(open_ledger(three).stream("model/delay").events())


@pytest.mark.parametrize("seq", [1, 2])
def test_an_entry_put_in_the_place_of_a_missing_one_breaks_the_chain(three, seq):
    three.delete(entry_key("model/delay", seq))
    append_next(open_ledger(three).stream("model/delay"), lambda _: {"n": 9})
    with pytest.raises(ChainBroken):
        list(open_ledger(three).stream("model/delay").events())


def test_an_entry_rewritten_with_a_right_sum_breaks_the_chain(three):
    key = entry_key("model/delay", 2)
    event = codec.decode(three.get(key), "x")
    three.put(
        key, codec.encode(type(event)(**{f: getattr(event, f) for f in event.__struct_fields__} | {"actor": "mallory"}))
    )
    with pytest.raises(ChainBroken, match="#3 does not follow"):
        list(open_ledger(three).stream("model/delay").events())


def test_an_entry_moved_from_elsewhere_breaks_the_chain(three):
    open_ledger(three).stream("model/other").append(PlainRecord("a.b", {"n": 0}))
    three.put(entry_key("model/delay", 1), three.get(entry_key("model/other", 1)))
    with pytest.raises(ChainBroken, match="holds model/other #1"):
        list(open_ledger(three).stream("model/delay").events())


@pytest.mark.parametrize("cut", [1, 40, "line"])
def test_a_segment_that_is_cut_off_breaks_the_chain(storage, ledger, cut):
    ledger.stream("run/a").append(PlainRecord("a.b", {"n": 0}))
    ledger.stream("run/a").seal(PlainRecord("run.finished", {"n": 1}))
    key = segment_key("run/a", 1)
    data = storage.get(key)
    storage.put(key, data[: data.index(b"\n") + 1] if cut == "line" else data[:-cut])
    with pytest.raises(ChainBroken):
        list(open_ledger(storage).stream("run/a").events())


def test_an_entry_with_fields_of_the_future_is_refused_as_newer(storage, ledger):
    event = ledger.stream("alerts").append(PlainRecord("a.b", {"n": 0}))
    plain = json.loads(codec.encode(event))
    del plain["sum"]
    line = json.dumps(plain | {"colour": "red"}).encode()
    head = codec.digest(line)
    storage.put(entry_key("alerts", 1), b'{"sum":"' + head.encode() + b'",' + line[1:])
    with pytest.raises(NewerVersion):
        list(open_ledger(storage).stream("alerts").events())


# -- versions of bodies -------------------------------------------------------------------------------------------------------


class Counted(EventRecord, frozen=True, kw_only=True):
    type = "a.b"
    schema = 3
    upcasters = {1: lambda body: {"n": body["n"] * 10}, 2: lambda body: {"n": body["n"] + 1, "unit": "s"}}  # noqa: RUF012
    n: int
    unit: str


def test_old_bodies_are_read_as_new_ones_and_stay_as_they_were_on_disk(storage, ledger):
    ledger.stream("model/delay").append(PlainRecord("a.b", {"n": 1}))
    stored = storage.get(entry_key("model/delay", 1))
    stream = open_ledger(storage, types=EventTypes([Counted])).stream("model/delay")
    stream.append(Counted(n=7, unit="s"))
    assert [(Counted.of(e), e.version) for e in stream.events()] == [
        (Counted(n=11, unit="s"), 3),
        (Counted(n=7, unit="s"), 3),
    ]
    assert storage.get(entry_key("model/delay", 1)) == stored


def test_a_newer_body_is_refused_not_guessed_at(storage):
    open_ledger(storage).stream("model/delay").append(PlainRecord("a.b", {"n": 1}, schema=4))
    with pytest.raises(NewerVersion, match="version 4"):
        list(open_ledger(storage, types=EventTypes([Counted])).stream("model/delay").events())


def test_a_type_that_is_not_installed_is_kept_as_it_is(storage):
    open_ledger(storage).stream("model/delay").append(PlainRecord("acme.scored", {"n": 1}, schema=9))
    (event,) = open_ledger(storage, types=EventTypes([Counted])).stream("model/delay").events()
    assert (event.type, event.version, event.body) == ("acme.scored", 9, {"n": 1})


def test_who_acts_is_asked_when_something_is_appended_and_not_before(storage):
    asked = []
    ledger = open_ledger(storage, actor=lambda: asked.append(1) or "user:ada")
    assert list(ledger.stream("run/a").events()) == []
    assert asked == []
    assert ledger.stream("run/a").append(PlainRecord("a.b", {})).actor == "user:ada"


def test_what_is_stored_of_a_record_is_what_the_ledger_is_told_to_store(storage):
    ledger = open_ledger(storage, seal=lambda record: dict.fromkeys(record.body(), "sealed"))
    assert ledger.stream("run/a").append(PlainRecord("a.b", {"comment": "hello"})).body == {"comment": "sealed"}
    assert [e.body for e in open_ledger(storage).stream("run/a").events()] == [{"comment": "sealed"}]


@pytest.mark.parametrize("name", ["env", "env/prod", "env/prod/model/delay"])
def test_the_place_of_environments_before_the_kind_is_no_kind(storage, name):
    with pytest.raises(UsageError, match="kept for environments"):
        open_ledger(storage).stream(name)
    assert open_ledger(storage).stream("model/env").name == "model/env"


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [101, 5_000])
def test_an_event_that_is_nested_too_deeply_is_not_appended(ledger, levels):
    stream = ledger.stream("a")
    with pytest.raises(DataError, match=r"a: the body of acme\.did has .* more than 100 levels deep"):
        stream.append(PlainRecord("acme.did", {"v": deep(levels)}))
    assert stream.append(PlainRecord("acme.did", {"v": deep(90)})).seq == 1


def test_a_stored_event_that_is_nested_too_deeply_is_an_error_of_the_ledger_that_the_audit_reports(ledger, storage):
    ledger.stream("a").append(PlainRecord("acme.did", {"v": 7}))
    plain = b"{" + storage.get(entry_key("a", 1)).partition(b",")[2]
    plain = plain.replace(b'"v":7', b'"v":' + b"[" * 5_000 + b"]" * 5_000)
    storage.put(entry_key("a", 1), b'{"sum":"%s",%s' % (sha256(plain).hexdigest().encode(), plain[1:]))
    with pytest.raises(LedgerError, match="more than 100 levels deep"):
        list(open_ledger(storage).stream("a").events())
    (found,) = audit(storage)
    assert "more than 100 levels deep" in found.problems[0]
