"""Engines in this process, for steps that have children and for all others, and rows to learn from."""

import contextlib
import threading
from importlib import import_module

import pytest

from mlopsfw.kernel.roles.engine import Engine, Resources
from mlopsfw.pipeline.run.children import Children
from mlopsfw.pipeline.run.display import Display
from mlopsfw.project.pipeline import _Workers

_ENGINE = _Workers.engine
_ROWS = """
import numpy as np, polars as pl
def rows():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(120, 2))
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": (x[:, 0] + 0.3 * draw.normal(size=120) > 0).astype(int)})
"""


class Handle:
    def __init__(self, run, cancelled):
        self._results, self._cancelled = [], cancelled
        self._thread = threading.Thread(target=lambda: self._results.append(run()))
        self._thread.start()

    def wait(self, timeout=None):
        self._thread.join(timeout)
        return next(iter(self._results), None)

    def cancel(self):
        self._cancelled.set()
        self._thread.join()


class Here:
    """An engine that runs an attempt in a thread of this process."""

    slots = 1

    def __init__(self, project, killed, cancelled=None):
        self._project, self._killed, self._cancelled = project, killed, cancelled or threading.Event()

    def capacity(self, asked):
        return Resources(cpus=1)

    def submit(self, spec):
        handle = Handle(lambda: self._project.step_runner.run(spec, ["."], shared=True), self._cancelled)
        if self._killed is not None and self._killed(handle):
            raise KeyboardInterrupt
        return handle


class Alone(Engine):
    """An engine that makes attempts in this process, one after the other, as in a worker that is used again."""

    slots = 1

    def __init__(self, project):
        self._project = project

    def capacity(self, asked):
        return Resources(cpus=1)

    def close(self):
        """Do nothing: nothing waits."""

    def submit(self, spec):
        with contextlib.ExitStack() as stack:
            for number, redirected in ((1, contextlib.redirect_stdout), (2, contextlib.redirect_stderr)):
                stream = stack.enter_context(open(number, "w", encoding="utf-8", closefd=False))
                stack.enter_context(redirected(stream))  # pytest's own streams bypass the log of a step
            return Ended(self._project.step_runner.run(spec, self._project.config.code))


class Ended:
    def __init__(self, result):
        self._result = result

    def wait(self, timeout=None):
        return self._result

    def cancel(self):
        """Do nothing: it has ended."""


@pytest.fixture(autouse=True)
def no_process(monkeypatch):
    """Make attempts in this process: in another, libraries are imported anew for seconds, and no test here is about that."""
    monkeypatch.setattr(_Workers, "engine", lambda workers, _: Alone(workers._project))


@pytest.fixture
def processes(monkeypatch):
    """Make attempts with the project's own engine after all, since the test edits what a process has imported."""
    monkeypatch.setattr(_Workers, "engine", _ENGINE)


@pytest.fixture
def here():
    """Return the engine: `here(project, killed)`, where `killed(handle)` says whether a kill of the step follows."""
    return Here


@pytest.fixture
def learnable_rows():
    """Return a module whose function `rows` returns 120 rows: the label `y` depends on `a`, not on `b`."""
    return _ROWS


@pytest.fixture
def counted_run(bench, here, monkeypatch):
    """Return a function that runs the project's pipeline in this process, and counts the trainings of LightGBM.

    `run.fits` has the options and the number of rows of each, `run.tasks` what it was to learn. `run.fail(number, options, context)`, if set, is
    called before each and may raise.
    The engine `here` makes the children, unless `run.debug` is set: then they run as `run --debug` lets them. `run.slots` run at once.
    `run.cancelled` is set when the first is cancelled: what it then does is up to `run.fail`.
    """
    trainer = import_module("mlopsfw_lightgbm.trainer").LightGbmTrainer
    fits, fit = [], trainer.fit

    def counted(self, task, train, valid, context):
        fits.append((self._config, train.rows))
        run.tasks.append(task)
        if run.fail:
            run.fail(len(fits), self._config, context)
        return fit(self, task, train, valid, context)

    monkeypatch.setattr(trainer, "fit", counted)

    def run(*, resume=False):
        fits.clear()
        run.tasks.clear()
        with bench.open() as project:
            engine = here(project, run.killed, run.cancelled)
            engine.slots = run.slots
            monkeypatch.setattr(_Workers, "engine", lambda *_: engine)
            monkeypatch.setattr(Children, "_debug", run.debug)
            if resume:
                return project.pipeline.resume(Display(project.workspace, None), project.pipeline.latest(), debug=True)
            return project.pipeline.start(Display(project.workspace, None), debug=True)

    run.fail, run.fits, run.tasks, run.killed, run.debug = None, fits, [], None, False
    run.slots, run.cancelled = 1, threading.Event()
    return run
