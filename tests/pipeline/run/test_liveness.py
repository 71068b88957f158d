"""Whether a coordinator is gone: proof on its own machine, silence on the observer's clock from elsewhere."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlopsfw.kernel.base.errors import Conflict
from mlopsfw.kernel.events.lease import Takeover
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.pipeline.run.liveness import LOST_AFTER, identity, wait_until_lost
from mlopsfw.pipeline.run.record import fold


class HeldClock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0
        self.on_sleep = None

    def now(self) -> float:
        return -1e9  # the wall clock says nothing here

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        if self.on_sleep:
            self.on_sleep()


@pytest.fixture
def clock():
    return HeldClock()


def begin(project, process):
    stream = project.ledger.stream("run/01")
    stream.append(PlainRecord("run.started", {"pipeline": "p", "steps": [], "process": process}))
    return stream, fold("01", stream.events())


def test_our_own_process_is_alive(project, clock):
    stream, view = begin(project, identity())
    with pytest.raises(Conflict, match="is running in process"):
        wait_until_lost(stream, view, clock, sleep=clock.sleep)


def test_a_process_of_this_machine_that_has_ended_is_gone_at_once(project, clock):
    code = "import json; from mlopsfw.pipeline.run.liveness import identity; print(json.dumps(identity()))"
    import json

    ended = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    stream, view = begin(project, ended)
    assert wait_until_lost(stream, view, clock, sleep=clock.sleep) == 1
    assert clock.time == 0


def test_another_process_under_the_same_number_is_not_taken_for_it(project, clock):
    stream, view = begin(project, {**identity(), "born": 1})
    assert wait_until_lost(stream, view, clock, sleep=clock.sleep) == 1


def test_a_run_that_was_taken_over_lives_as_long_as_who_took_it(project, clock):
    stream, view = begin(project, {**identity(), "born": 1})
    stream.takeover(expecting=view.head, record=Takeover(process=identity()))
    with pytest.raises(Conflict, match="is running in process"):
        wait_until_lost(stream, fold("01", stream.events()), clock, sleep=clock.sleep)


def test_silence_from_another_machine_is_waited_out_on_the_monotonic_clock(project, clock):
    stream, view = begin(project, {"host": "elsewhere", "machine": "other", "pid": 1, "born": 1})
    assert wait_until_lost(stream, view, clock, sleep=clock.sleep) == 1
    assert LOST_AFTER <= clock.time < LOST_AFTER + 10


def test_a_heartbeat_from_another_machine_keeps_the_run_its_own(project, clock):
    stream, view = begin(project, {"host": "elsewhere", "machine": "other", "pid": 1, "born": 1})
    clock.on_sleep = lambda: clock.time > 20 and stream.append(PlainRecord("run.heartbeat", {}))
    with pytest.raises(Conflict, match="elsewhere"):
        wait_until_lost(stream, view, clock, sleep=clock.sleep)


def test_a_zombie_is_not_alive(project, clock):
    from mlopsfw.pipeline.run.liveness import _born

    child = subprocess.Popen([sys.executable, "-c", ""])
    while _born(child.pid):
        pass
    assert _born(child.pid) == 0
    child.wait()
