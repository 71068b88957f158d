"""Whether a coordinator is gone: proof on its own machine, silence on the observer's clock from elsewhere."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from mlopsfw.cli import run
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


def begin(project, process, **facts):
    stream = project.ledger.stream("run/01")
    stream.append(PlainRecord("run.started", {"pipeline": "p", "steps": [], "process": process, **facts}))
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


GONE = {**identity(), "born": 1}
ELSEWHERE = {"host": "elsewhere", "machine": "other", "pid": 1, "born": 1}


def test_a_run_whose_process_is_gone_is_shown_as_lost_and_its_step_as_interrupted(project):
    stream, _ = begin(project, GONE)
    stream.append(PlainRecord("step.started", {"step": "a", "attempt": 1}))
    view = project.runs.get("01")
    assert (view.status, view.steps["a"].status) == ("lost", "interrupted")
    assert [row["status"] for row in project.runs.search()] == ["lost"]
    assert len(project.runs.search(status="lost")) == 1
    assert project.runs.search(status="running") == []


def test_a_run_that_goes_on_is_shown_as_running(project):
    begin(project, identity())
    assert project.runs.get("01").status == "running"
    assert len(project.runs.search(status="running")) == 1
    assert project.runs.search(status="lost") == []


@pytest.mark.parametrize(
    ("kind", "minutes", "status"), [("", 9, "running"), ("", 11, "lost"), ("script", 11, "running")]
)
def test_a_run_of_another_machine_is_lost_after_ten_minutes_without_a_heartbeat(project, kind, minutes, status):
    begin(project, ELSEWHERE, kind=kind)
    clock = HeldClock()
    clock.now = lambda: time.time() + 60 * minutes
    project.runs._clock = clock
    assert project.runs.get("01").status == status


def test_status_says_how_to_go_on_with_a_lost_run(project, capsys):
    stream, _ = begin(project, GONE)
    stream.append(PlainRecord("step.started", {"step": "a", "attempt": 1}))
    assert run(["--project", str(project.root), "status"]) == 0
    said = capsys.readouterr().out
    assert "run 01: lost" in said
    assert "mlopsfw resume 01" in said
