"""Sixteen processes race for versions, aliases, runs and a lease: no number twice, none left out, no alias moved from where it was not.

And the check itself is checked: with a `put_if_absent` that replaces, it finds anomalies.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from workload import Worker, anomalies, fork

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import Fenced, MlopsfwError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger
from mlopsfw.operations.lease import Lease
from mlopsfw_storage_object import durable
from mlopsfw_storage_object.local import LocalStorage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RACERS = 16


@pytest.fixture(autouse=True)
def windows(monkeypatch):
    monkeypatch.setattr("mlopsfw.kernel.ledger.layout.WINDOW", 8)


def race(act, racers=RACERS):
    """Fork processes that begin at one moment; return what each acknowledged, and the errors that ended any."""
    gate, gate_end = os.pipe()
    reader, writer = os.pipe()
    pids = [_racer(act, who, (gate, gate_end, reader, writer)) for who in range(racers)]
    os.close(writer)
    os.close(gate)
    os.close(gate_end)  # the gate opens: every racer reads the end of the pipe
    with os.fdopen(reader, "rb") as pipe:
        lines = [tuple(json.loads(line)) for line in pipe]
    for pid in pids:
        os.waitpid(pid, 0)
    return [line for line in lines if line[0] != "failed"], [line[1] for line in lines if line[0] == "failed"]


def _racer(act, who, pipes):
    gate, gate_end, reader, writer = pipes
    pid = fork()
    if pid:
        return pid
    try:
        os.close(gate_end)
        os.close(reader)

        def acknowledge(*facts):
            os.write(writer, json.dumps(facts).encode() + b"\n")

        os.read(gate, 1)
        try:
            act(who, acknowledge)
        except Exception as error:  # noqa: BLE001 - told to the parent
            acknowledge("failed", repr(error)[:1000])
    finally:
        os._exit(0)


def work(root: Path, rounds: int):
    return lambda who, acknowledge: Worker(LocalStorage(root / "store"), root / f"s{who}", acknowledge, who).work(
        rounds
    )


def test_16_processes_race_for_versions_aliases_and_runs_without_anomaly(tmp_path):
    acknowledged, failed = race(work(tmp_path, 40))
    assert failed == []
    assert len(acknowledged) > RACERS * 40
    events = [ack for ack in acknowledged if ack[0] == "event"]
    assert len({(stream, seq) for _, stream, seq, _ in events}) == len(events), "a number was given twice"
    assert anomalies(LocalStorage(tmp_path / "store"), acknowledged) == []


def test_the_check_notices_when_creation_replaces(tmp_path, monkeypatch):
    def replace_instead(temporary, path):
        Path(temporary).replace(path)
        return True

    monkeypatch.setattr(durable, "publish", replace_instead)
    acknowledged, failed = race(work(tmp_path, 40))
    assert failed or anomalies(LocalStorage(tmp_path / "store"), acknowledged)


def test_the_check_notices_when_a_seal_is_not_looked_for(tmp_path, monkeypatch):
    """A late writer's entry in the place of one that was sealed away would be acknowledged and lost."""
    monkeypatch.setattr("mlopsfw.kernel.ledger.stream.Stream._counts", lambda self, seq, line: True)
    for attempt in range(10):
        root = tmp_path / str(attempt)
        acknowledged, failed = race(work(root, 60))
        if failed or anomalies(LocalStorage(root / "store"), acknowledged):
            return
    pytest.fail("ten races and nothing was noticed")


def test_of_16_processes_one_holds_the_lease_and_a_late_one_is_fenced(tmp_path):
    """Whoever holds it writes down when it began and ended; a holder that sleeps past its patience finds itself fenced."""
    patience = 0.5  # seconds, which on a busy machine those can need too that do not hang

    def hold(who, acknowledge):
        clock = SystemClock()
        ledger = Ledger(LocalStorage(tmp_path / "store"), actor=lambda: f"racer{who}", clock=clock, types=EventTypes())
        lease = Lease(ledger.stream("lease/loop"), f"racer{who}", clock, patience=patience)
        began = time.monotonic()
        while lease.acquire() is None:
            time.sleep(0.02)
            began = time.monotonic()
        epoch = lease.epoch
        if who % 8 == 0:
            time.sleep(1.5)  # it hangs; another takes over
        try:
            lease.renew()
        except Fenced:
            acknowledge("fenced" if time.monotonic() - began >= patience else "fenced too early", who, epoch)
            return
        acknowledge("held", who, epoch)
        lease.release()

    reports, failed = race(hold)
    assert failed == []
    epochs = [epoch for _, _, epoch in reports]
    assert sorted(epochs) == list(range(1, RACERS + 1)), "each epoch had one holder"
    assert {"held", "fenced"} == {kind for kind, _, _ in reports}
    assert any(who % 8 == 0 for kind, who, _ in reports if kind == "fenced"), (
        "of two that hang one at the most is the last"
    )
    events = list(
        Ledger(LocalStorage(tmp_path / "store"), actor=lambda: "c", clock=SystemClock(), types=EventTypes())
        .stream("lease/loop")
        .events()
    )
    assert [e.epoch for e in events] == sorted(e.epoch for e in events)
    for fenced in [epoch for kind, _, epoch in reports if kind == "fenced"]:
        assert [e.type for e in events if e.epoch == fenced] == ["takeover"]


def test_racing_seals_of_one_stream_end_it_once(tmp_path):
    def seal(who, acknowledge):
        stream = Ledger(
            LocalStorage(tmp_path / "store"), actor=lambda: f"racer{who}", clock=SystemClock(), types=EventTypes()
        ).stream("run/a")
        try:
            for _ in range(20):
                event = stream.append(PlainRecord("a.b", {}))
                acknowledge("event", "run/a", event.seq, event.id)
            event = stream.seal(PlainRecord("run.finished", {}))
            acknowledge("event", "run/a", event.seq, event.id)
        except MlopsfwError as error:
            acknowledge("sealed", type(error).__name__)

    reports, failed = race(seal)
    assert failed == []
    assert {kind[1] for kind in reports if kind[0] == "sealed"} == {"StreamSealed"}
    assert len([kind for kind in reports if kind[0] == "sealed"]) == RACERS - 1
    assert anomalies(LocalStorage(tmp_path / "store"), [ack for ack in reports if ack[0] == "event"]) == []
