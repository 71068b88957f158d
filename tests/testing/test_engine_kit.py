"""The kit of engines: an engine of threads passes it, and engines that break a promise of the role fail it."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late

import msgspec
import pytest

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.project.facade import Project
from mlopsfw.roles import NEVER_BEGAN, Engine, Failure, Resources, StepResult
from mlopsfw.testing.engine import EngineConformance
from mlopsfw.worker import execute
from mlopsfw_engine_local.engine import LocalEngine


class ThreadHandle:
    def __init__(self, future):
        self._future = future

    def wait(self, timeout=None):
        if self._future.cancelled():
            return NEVER_BEGAN
        try:
            return msgspec.json.decode(self._future.result(timeout), type=StepResult)
        except Late:
            return None

    def cancel(self):
        self._future.cancel()


class Threads(Engine):
    """Runs attempts in threads of this process: it can neither kill nor isolate them, and says so."""

    slots = 2

    def __init__(self):
        self._threads = ThreadPoolExecutor(self.slots)

    def submit(self, spec):
        return ThreadHandle(self._threads.submit(execute, msgspec.json.encode(spec), shared=True))

    def close(self):
        self._threads.shutdown(cancel_futures=True)


class TestAnEngineOfThreadsPasses(EngineConformance):
    @pytest.fixture
    def engine(self, project):
        engine = Threads()
        yield engine
        engine.close()


def test_an_engine_of_threads_runs_a_pipeline_and_refuses_a_time_limit_that_it_cannot_keep(bench, install_plugin):
    install_plugin(
        "import msgspec\nfrom mlopsfw import Provider, hookimpl\nfrom test_engine_kit import Threads\n"
        "class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True): pass\n"
        "@hookimpl\ndef mlopsfw_engines(): yield Provider('threads', Options, lambda options, host: Threads(), '')\n",
        "engine.threads",
    )
    sys.modules["test_engine_kit"] = sys.modules[__name__]
    try:
        toml = '[engine]\nuse = "threads"\n[steps.a]\npython = "steps:a"\n[steps.b]\npython = "steps:a"\n'
        outcome = bench.write(toml, steps="def a(): return 1\n").run()
        assert (outcome.status, bench.value(outcome, "b")) == ("done", 1)
        bench.write(toml + "timeout = 5\n", steps="def a(): return 2\n")
        for refused in (bench.run, bench.open().pipeline.plan):
            with pytest.raises(
                ConfigError, match=r"steps\.b\.timeout: .*'threads' cannot end a step at its time limit"
            ):
                refused()
        with bench.open() as project:
            assert len(project.runs.ids()) == 1  # `a`, which has no limit and comes before, has not run again
    finally:
        del sys.modules["test_engine_kit"]


def test_attempts_in_this_process_share_its_import_path_and_leave_it_as_it_was(opened):
    before, engine = list(sys.path), Threads()
    try:
        held = [engine.submit(SUITE.spec(opened, step)) for step in ("hold", "add")]
        assert SUITE.value(opened, SUITE.finish(held[1])) == 3
        assert sys.path == [str(opened.root), *before], "an attempt that still runs needs the folder, once"
        SUITE.finish(held[0])
        assert sys.path == before
    finally:
        engine.close()


class Mutant(LocalEngine):
    """The engine `local`, which heeds all of it."""

    def __init__(self, project):
        super().__init__(workers=2, grace=0.2, folder=project.root)

    def end(self):
        LocalEngine.close(self)


class IgnoresJoins(Mutant):
    def submit(self, spec):
        return super().submit(msgspec.structs.replace(spec, joins=False))


class DropsResources(Mutant):
    def submit(self, spec):
        return super().submit(msgspec.structs.replace(spec, resources=Resources()))


class RunsMoreThanItsSlots(Mutant):
    def __init__(self, project):
        LocalEngine.__init__(self, workers=8, grace=0.2, folder=project.root)

    slots = 2

    def fits(self, asked, running):
        return len(running) < 2


class RunsOneAtATime(Mutant):
    def __init__(self, project):
        LocalEngine.__init__(self, workers=1, grace=0.2, folder=project.root)

    slots = 2


class FitsEverything(Mutant):
    def fits(self, asked, running):
        return True


class FitsBesideAnything(Mutant):
    """Says that a slot is all that an attempt needs, and lets it wait for cores."""

    def fits(self, asked, running):
        return len(running) < self.slots


class Changed:
    """A handle of which some method is another."""

    def __init__(self, handle, **methods):
        self._handle = handle
        self.wait, self.cancel = methods.get("wait", handle.wait), methods.get("cancel", handle.cancel)


class LeavesAttemptsRunningWhenItIsClosed(Mutant):
    def close(self):
        pass


class LosesAttemptsWhenItIsClosed(Mutant):
    closed = False

    def submit(self, spec):
        handle = super().submit(spec)
        return Changed(handle, wait=lambda timeout=None: None if self.closed else handle.wait(timeout))

    def close(self):
        self.closed = True
        super().close()


class LosesWhatWaitsWhenItIsClosed(Mutant):
    def submit(self, spec):
        handle = super().submit(spec)
        if handle._worker is None:
            return Changed(handle, wait=lambda timeout=None: threading.Event().wait(min(timeout or 0, 0.1)) or None)
        return handle


class CancelsNothing(Mutant):
    def submit(self, spec):
        return Changed(super().submit(spec), cancel=lambda: None)


class RunsWhatWasCancelled(Mutant):
    """Says that an attempt never began, and lets it begin."""

    def submit(self, spec):
        handle, cancelled = super().submit(spec), threading.Event()
        if handle._worker is not None:
            return handle

        def wait(timeout=None):
            return NEVER_BEGAN if cancelled.is_set() else handle.wait(timeout)

        return Changed(handle, wait=wait, cancel=cancelled.set)


class LosesWhatWasCancelled(Mutant):
    """Reports an attempt that never began as one that was lost, so that it is tried again."""

    def submit(self, spec):
        handle = super().submit(spec)
        lost = StepResult(failure=Failure(type="WorkerLost", message="it is gone", lost=True))

        def wait(timeout=None):
            result = handle.wait(timeout)
            return lost if result == NEVER_BEGAN else result

        return Changed(handle, wait=wait)


class ReportsALostWorkerAsSuccess(Mutant):
    def submit(self, spec):
        handle = super().submit(spec)

        def wait(timeout=None):
            result = handle.wait(timeout)
            return msgspec.structs.replace(result, failure=None) if result and result.failure.lost else result

        return Changed(handle, wait=wait)


class ReportsALostWorkerAsAnError(Mutant):
    def submit(self, spec):
        handle = super().submit(spec)

        def wait(timeout=None):
            result = handle.wait(timeout)
            failure = msgspec.structs.replace(result.failure, lost=False) if result and result.failure else None
            return msgspec.structs.replace(result, failure=failure) if failure else result

        return Changed(handle, wait=wait)


class WaitsInSubmit(Mutant):
    def submit(self, spec):
        handle = super().submit(spec)
        handle.wait(6)
        return handle


class NamesAnAbilityThatThereIsNot(Mutant):
    abilities = ("kills",)


class NamesAbilitiesAsText(Mutant):
    abilities = "kill"


SUITE = EngineConformance()
TESTS = {
    "joins": SUITE.test_results_of_parts_are_put_together,
    "resources": SUITE.test_a_step_is_given_what_it_asks_for,
    "slots": SUITE.test_no_more_run_at_once_than_there_are_slots,
    "beside": SUITE.test_one_attempt_runs_beside_another,
    "close": SUITE.test_closing_in_the_middle_ends_what_runs_or_waits_and_loses_no_attempt,
    "cancel": SUITE.test_cancelling_ends_the_attempt_and_leaves_the_engine_usable,
    "cancel waiting": SUITE.test_an_attempt_that_waits_can_be_cancelled_and_does_not_begin,
    "lost": SUITE.test_a_worker_that_vanishes_is_told_from_one_that_raises,
    "room": SUITE.test_what_fits_beside_another_runs_beside_it_and_what_does_not_waits,
    "submit": SUITE.test_submitting_returns_at_once_and_waiting_keeps_its_limit,
}
ASKED = {
    "fits": SUITE.test_what_fits_follows_from_the_slots,
    "names": SUITE.test_it_names_only_abilities_that_there_are,
}


@pytest.fixture
def opened(tmp_path):
    """The kit's own project."""
    yield from EngineConformance.project.__wrapped__(SUITE, tmp_path)


@pytest.mark.parametrize(
    ("mutant", "test"),
    [
        (IgnoresJoins, "joins"),
        (DropsResources, "resources"),
        (RunsMoreThanItsSlots, "slots"),
        (RunsOneAtATime, "beside"),
        (FitsEverything, "fits"),
        (LeavesAttemptsRunningWhenItIsClosed, "close"),
        (LosesAttemptsWhenItIsClosed, "close"),
        (LosesWhatWaitsWhenItIsClosed, "close"),
        (CancelsNothing, "cancel"),
        (CancelsNothing, "cancel waiting"),
        (RunsWhatWasCancelled, "cancel waiting"),
        (LosesWhatWasCancelled, "cancel waiting"),
        (DropsResources, "room"),
        (FitsBesideAnything, "room"),
        (ReportsALostWorkerAsSuccess, "lost"),
        (ReportsALostWorkerAsAnError, "lost"),
        (WaitsInSubmit, "submit"),
        (NamesAnAbilityThatThereIsNot, "names"),
        (NamesAbilitiesAsText, "names"),
    ],
)
def test_the_kit_catches(mutant, test, opened: Project, monkeypatch):
    finish = EngineConformance.finish  # what never comes is not waited for
    monkeypatch.setattr(
        EngineConformance, "finish", lambda suite, handle, seconds=8: finish(suite, handle, min(seconds, 8))
    )
    engine = mutant(opened)
    try:
        with pytest.raises(AssertionError):
            TESTS[test](opened, engine) if test in TESTS else ASKED[test](engine)
    finally:
        engine.end()
