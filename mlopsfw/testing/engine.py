"""`EngineConformance`: what every engine must do, as a test class. A plugin's author subclasses it and overrides one fixture.

class TestAcmeEngine(EngineConformance):
    @pytest.fixture
    def engine(self, project):
        engine = AcmeEngine(...)
        yield engine
        engine.close()
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.engine import Engine, Handle, StepResult, StepSpec
from mlopsfw.project.facade import Project

TOML = """\
[project]
name = "conformance"

[steps.add]
python = "conformance_steps:add"
params = { a = 1, b = 2 }

[steps.fail]
python = "conformance_steps:fail"

[steps.nap]
python = "conformance_steps:nap"

[steps.crash]
python = "conformance_steps:crash"

[steps.double]
python = "conformance_steps:double"
inputs = { x = "add" }

[steps.talk]
python = "conformance_steps:talk"
"""

STEPS = """\
import os
import time

import mlopsfw


def add(a, b):
    return a + b


def double(x):
    return 2 * x


def fail():
    raise ValueError("on purpose")


def nap():
    mlopsfw.log_metric("awake", 1)
    time.sleep(60)


def crash():
    os._exit(9)


def talk():
    print("spoken")
    mlopsfw.log_metric("loss", 0.25)
    return os.getpid()
"""


class EngineConformance:
    """Conformance of an engine: results, failures, lost workers, cancelling, several at once."""

    @pytest.fixture
    def project(self, tmp_path: Path) -> Iterator[Project]:
        """Open a project with the steps that this suite runs. Override `toml` to change its storage."""
        root = tmp_path / "conformance"
        root.mkdir()
        (root / "mlopsfw.toml").write_text(self.toml(), encoding="utf-8")
        (root / "conformance_steps.py").write_text(STEPS, encoding="utf-8")
        with Project.open(root) as project:
            yield project

    def toml(self) -> str:
        """Return the project's configuration; add the storage that your engine's nodes can reach."""
        return TOML

    @pytest.fixture
    def engine(self, project: Project) -> Iterator[Engine]:
        """Yield an engine for `project` with two slots or more, and close it. Override this."""
        raise NotImplementedError("override the fixture `engine`")

    def spec(self, project: Project, step: str, **inputs: Artifact) -> StepSpec:
        return StepSpec(
            project=str(project.root),
            config=project.config.to_json(),
            run="conformance",
            step=step,
            attempt=1,
            epoch=0,
            inputs=inputs,
            outputs=("result",),
            fingerprint="0" * 64,
        )

    def finish(self, handle: Handle, seconds: float = 60) -> StepResult:
        result = handle.wait(seconds)
        assert result is not None, "the attempt did not end in time"
        return result

    def value(self, project: Project, result: StepResult) -> Any:
        assert result.failure is None, result.failure
        return project.values.load(result.outputs["result"])

    def test_a_step_returns_references_to_what_it_stored(self, project: Project, engine: Engine) -> None:
        result = self.finish(engine.submit(self.spec(project, "add")))
        assert self.value(project, result) == 3
        assert result.node
        assert result.seconds > 0

    def test_inputs_arrive_by_reference(self, project: Project, engine: Engine) -> None:
        result = self.finish(engine.submit(self.spec(project, "double", x=project.values.store(21))))
        assert self.value(project, result) == 42

    def test_submitting_returns_at_once_and_waiting_keeps_its_limit(self, project: Project, engine: Engine) -> None:
        handle = engine.submit(self.spec(project, "nap"))
        began = time.monotonic()
        assert handle.wait(0.2) is None
        assert time.monotonic() - began < 5
        handle.cancel()

    def test_an_exception_comes_back_as_a_failure_with_its_traceback(self, project: Project, engine: Engine) -> None:
        failure = self.finish(engine.submit(self.spec(project, "fail"))).failure
        assert failure is not None
        assert (failure.type, failure.lost, failure.exit_code) == ("ValueError", False, 1)
        assert "on purpose" in failure.message
        assert "conformance_steps.py" in failure.traceback

    def test_a_worker_that_vanishes_is_told_from_one_that_raises(self, project: Project, engine: Engine) -> None:
        failure = self.finish(engine.submit(self.spec(project, "crash"))).failure
        assert failure is not None
        assert failure.lost
        assert self.value(project, self.finish(engine.submit(self.spec(project, "add")))) == 3

    def test_cancelling_ends_the_attempt_and_leaves_the_engine_usable(self, project: Project, engine: Engine) -> None:
        handle = engine.submit(self.spec(project, "nap"))
        time.sleep(0.5)
        handle.cancel()
        failure = self.finish(handle, 30).failure
        assert failure is not None
        assert self.value(project, self.finish(engine.submit(self.spec(project, "add")))) == 3

    def test_as_many_run_at_once_as_there_are_slots(self, project: Project, engine: Engine) -> None:
        assert engine.slots >= 2
        nap = engine.submit(self.spec(project, "nap"))
        assert self.value(project, self.finish(engine.submit(self.spec(project, "add")))) == 3
        nap.cancel()

    def test_what_it_printed_and_logged_comes_back(self, project: Project, engine: Engine) -> None:
        result = self.finish(engine.submit(self.spec(project, "talk")))
        assert result.metrics == {"loss": 0.25}
        assert b"spoken" in project.blobs.get(result.logs)
        assert [stream for stream, _ in result.events] == ["run/conformance"]

    def test_equal_results_have_equal_digests_wherever_they_are_made(self, project: Project, engine: Engine) -> None:
        result = self.finish(engine.submit(self.spec(project, "add")))
        assert result.outputs["result"].digest == project.values.store(3).digest

    def test_results_of_parts_are_put_together(self, project: Project, engine: Engine) -> None:
        parts = {f"result[{number}]": project.values.store(number + 10) for number in range(3)}
        spec = msgspec.structs.replace(self.spec(project, "double"), inputs=parts, joins=True)
        assert self.value(project, self.finish(engine.submit(spec))) == [10, 11, 12]

    def test_closing_ends_what_still_runs(self, project: Project, engine: Engine) -> None:
        handle = engine.submit(self.spec(project, "nap"))
        time.sleep(0.5)
        began = time.monotonic()
        engine.close()
        result = self.finish(handle, 30)
        assert time.monotonic() - began < 40
        assert result.failure is not None

    def test_closing_twice_is_no_error(self, project: Project, engine: Engine) -> None:
        self.finish(engine.submit(self.spec(project, "add")))
        engine.close()
        engine.close()
