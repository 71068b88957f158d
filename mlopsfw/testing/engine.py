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
from typing import Any, get_args

import msgspec
import pytest

from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.engine import Engine, EngineAbility, Failure, Handle, Resources, StepResult, StepSpec
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

[steps.hold]
python = "conformance_steps:hold"

[steps.asked]
python = "conformance_steps:asked"

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


def hold():
    began = time.time()
    time.sleep(2)
    return [began, time.time()]


def asked(context):
    return [context.resources.cpus, os.environ.get("OMP_NUM_THREADS", "")]


def crash():
    os._exit(9)


def talk():
    print("spoken")
    mlopsfw.log_metric("loss", 0.25)
    return os.getpid()
"""


class EngineConformance:
    """Conformance of an engine: results, failures, lost workers, cancelling, several at once.

    Tests of an ability that the engine does not name are skipped.
    """

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

    def needs(self, engine: Engine, ability: str) -> None:
        if ability not in engine.abilities:
            pytest.skip(f"the engine does not name the ability `{ability}`")

    def hold(self, engine: Engine) -> str:
        """Return a step that is still running when others have ended: one that must be killed where the engine can."""
        return "nap" if "kill" in engine.abilities else "hold"

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

    def test_it_names_only_abilities_that_there_are(self, engine: Engine) -> None:
        assert not isinstance(engine.abilities, str)
        assert set(engine.abilities) <= set(get_args(EngineAbility))

    def test_submitting_returns_at_once_and_waiting_keeps_its_limit(self, project: Project, engine: Engine) -> None:
        began = time.monotonic()
        handle = engine.submit(self.spec(project, self.hold(engine)))
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
        self.needs(engine, "isolate")
        result = self.finish(engine.submit(self.spec(project, "crash")))
        assert result.failure is not None, "the worker is gone, and the attempt is reported as a success"
        assert result.failure.lost
        assert not result.outputs
        assert self.value(project, self.finish(engine.submit(self.spec(project, "add")))) == 3

    def test_cancelling_ends_the_attempt_and_leaves_the_engine_usable(self, project: Project, engine: Engine) -> None:
        self.needs(engine, "kill")
        handle = engine.submit(self.spec(project, "nap"))
        time.sleep(0.5)
        handle.cancel()
        failure = self.finish(handle, 30).failure
        assert failure is not None
        assert self.value(project, self.finish(engine.submit(self.spec(project, "add")))) == 3

    def test_an_attempt_that_waits_can_be_cancelled_and_does_not_begin(self, project: Project, engine: Engine) -> None:
        held = [engine.submit(self.spec(project, self.hold(engine))) for _ in range(engine.slots)]
        waiting = engine.submit(self.spec(project, "talk"))
        assert waiting.wait(0.2) is None, "it began although every slot was taken"
        waiting.cancel()
        result = self.finish(waiting, 30)
        assert result.failure is not None, "a cancelled attempt is reported as a success"
        ended = msgspec.structs.replace(result.failure, type="", message="", exit_code=1)
        assert ended == Failure(type="", message="", retryable=False), "return `mlopsfw.roles.NEVER_BEGAN`"
        for handle in held:
            handle.cancel()
            self.finish(handle, 30)
        for _ in range(engine.slots):  # there was room for the cancelled one before
            self.finish(engine.submit(self.spec(project, "add")))
        steps = [event.body.get("step") for event in project.ledger.stream("run/conformance").events()]
        assert "talk" not in steps, "the cancelled attempt ran nevertheless"

    def test_one_attempt_runs_beside_another(self, project: Project, engine: Engine) -> None:
        assert engine.slots >= 2
        held = engine.submit(self.spec(project, self.hold(engine)))
        assert self.value(project, self.finish(engine.submit(self.spec(project, "add")))) == 3
        held.cancel()

    def test_what_fits_beside_another_runs_beside_it_and_what_does_not_waits(
        self, project: Project, engine: Engine
    ) -> None:
        most = Resources(cpus=engine.capacity(Resources(cpus=1)).cpus)
        if not most.cpus:
            pytest.skip("the engine gives no resources")
        fits = engine.fits(most, [most])
        first, second = (
            engine.submit(msgspec.structs.replace(self.spec(project, step), resources=most))
            for step in ((self.hold(engine), "add") if fits else ("hold", "hold"))
        )
        if fits:
            assert self.value(project, self.finish(second)) == 3
            first.cancel()
            return
        spans = sorted(self.value(project, self.finish(handle)) for handle in (first, second))
        assert spans[0][1] <= spans[1][0], "`fits` says that one waits for the other, and they ran side by side"

    def test_no_more_run_at_once_than_there_are_slots(self, project: Project, engine: Engine) -> None:
        handles = [engine.submit(self.spec(project, "hold")) for _ in range(engine.slots + 2)]
        spans = [self.value(project, self.finish(handle)) for handle in handles]
        assert max(sum(began <= each < ended for began, ended in spans) for each, _ in spans) <= engine.slots

    def test_what_fits_follows_from_the_slots(self, engine: Engine) -> None:
        assert engine.fits(Resources(), [Resources()] * (engine.slots - 1))
        assert not engine.fits(Resources(), [Resources()] * engine.slots)

    def test_a_step_is_given_what_it_asks_for(self, project: Project, engine: Engine) -> None:
        asked = Resources(cpus=1)
        if engine.capacity(asked).cpus < 1:
            pytest.skip("the engine gives no resources")
        spec = msgspec.structs.replace(self.spec(project, "asked"), resources=asked)
        cpus, threads = self.value(project, self.finish(engine.submit(spec)))
        assert cpus == 1, "the resources of the spec do not reach the step"
        if "isolate" in engine.abilities:
            assert threads == "1", "set `mlopsfw.roles.thread_limits` in the worker's environment"

    def test_metrics_and_events_come_back(self, project: Project, engine: Engine) -> None:
        result = self.finish(engine.submit(self.spec(project, "talk")))
        assert result.metrics == {"loss": 0.25}
        assert [stream for stream, _ in result.events] == ["run/conformance"]

    def test_what_it_printed_comes_back(self, project: Project, engine: Engine) -> None:
        self.needs(engine, "isolate")
        assert b"spoken" in project.blobs.get(self.finish(engine.submit(self.spec(project, "talk"))).logs)

    def test_equal_results_have_equal_digests_wherever_they_are_made(self, project: Project, engine: Engine) -> None:
        result = self.finish(engine.submit(self.spec(project, "add")))
        assert result.outputs["result"].digest == project.values.store(3).digest

    def test_results_of_parts_are_put_together(self, project: Project, engine: Engine) -> None:
        parts = {f"result[{number}]": project.values.store(number + 10) for number in range(3)}
        spec = msgspec.structs.replace(self.spec(project, "double"), inputs=parts, joins=True)
        assert self.value(project, self.finish(engine.submit(spec))) == [10, 11, 12]

    def test_closing_in_the_middle_ends_what_runs_or_waits_and_loses_no_attempt(
        self, project: Project, engine: Engine
    ) -> None:
        handles = [engine.submit(self.spec(project, self.hold(engine))) for _ in range(engine.slots + 1)]
        time.sleep(0.5)
        began = time.monotonic()
        engine.close()
        results = [self.finish(handle, 30) for handle in handles]
        assert time.monotonic() - began < 40
        if "kill" in engine.abilities:
            assert all(result.failure is not None for result in results)

    def test_closing_twice_is_no_error(self, project: Project, engine: Engine) -> None:
        self.finish(engine.submit(self.spec(project, "add")))
        engine.close()
        engine.close()
