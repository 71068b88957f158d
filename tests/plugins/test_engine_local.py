"""The engine `local`: the conformance suite, and what is its own: few processes, used again, never left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from mlopsfw.testing.engine import EngineConformance
from mlopsfw_engine_local import LocalConfig
from mlopsfw_engine_local.engine import LocalEngine, Worker


class TestLocalEngine(EngineConformance):
    @pytest.fixture
    def engine(self, project):
        engine = LocalEngine(workers=2, grace=0.5, folder=project.root)
        yield engine
        engine.close()

    def test_no_process_is_started_before_a_step_is_submitted(self, project, engine):
        assert children() == set()

    def test_one_process_serves_step_after_step(self, project, engine):
        pids = {self.value(project, self.finish(engine.submit(self.spec(project, "talk")))) for _ in range(3)}
        assert len(pids) == 1

    def test_closing_leaves_no_process_behind(self, project, engine):
        self.finish(engine.submit(self.spec(project, "add")))
        engine.submit(self.spec(project, "nap"))
        engine.close()
        assert children() == set()

    def test_a_worker_that_died_while_idle_is_a_lost_attempt(self, project, engine):
        pid = self.value(project, self.finish(engine.submit(self.spec(project, "talk"))))
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        result = self.finish(engine.submit(self.spec(project, "add")))
        assert result.failure is not None
        assert result.failure.lost
        assert "signal 9" in result.failure.message

    def test_an_answer_that_is_no_result_is_a_failure_and_the_engine_stays_usable(self, project, engine, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(Worker, "ask", lambda worker, frame: b"{")
            failure = self.finish(engine.submit(self.spec(project, "add"))).failure
        assert failure is not None
        assert failure.type == "DecodeError"
        assert self.value(project, self.finish(engine.submit(self.spec(project, "add")))) == 3

    def test_the_engine_is_selected_by_name(self, project):
        assert type(project.providers.engine()._built) is LocalEngine
        assert LocalConfig().grace > 0


def children() -> set[int]:
    """Return the worker processes of this one."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = process.joinpath("stat").read_text().rpartition(")")[2].split()
            command = process.joinpath("cmdline").read_bytes()
        except OSError:
            continue
        if int(parent[1]) == os.getpid() and b"mlopsfw_engine_local" in command:
            found.add(int(process.name))
    return found
