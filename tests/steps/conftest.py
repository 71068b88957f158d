"""An engine in this process, for steps that have children, and rows to learn from."""

import threading

import pytest

from mlopsfw.kernel.roles.engine import Resources

_ROWS = """
import numpy as np, polars as pl
def rows():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(120, 2))
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": (x[:, 0] + 0.3 * draw.normal(size=120) > 0).astype(int)})
"""


class Handle:
    def __init__(self, run):
        self._results = []
        self._thread = threading.Thread(target=lambda: self._results.append(run()))
        self._thread.start()

    def wait(self, timeout=None):
        self._thread.join(timeout)
        return next(iter(self._results), None)

    def cancel(self):
        self._thread.join()


class Here:
    """An engine that runs an attempt in a thread of this process."""

    slots = 1

    def __init__(self, project, killed):
        self._project, self._killed = project, killed

    def capacity(self, asked):
        return Resources(cpus=1)

    def submit(self, spec):
        handle = Handle(lambda: self._project.step_runner.run(spec, ["."], shared=True))
        if self._killed is not None and self._killed(handle):
            raise KeyboardInterrupt
        return handle


@pytest.fixture
def here():
    """Return the engine: `here(project, killed)`, where `killed(handle)` says whether a kill of the step follows."""
    return Here


@pytest.fixture
def learnable_rows():
    """Return a module whose function `rows` returns 120 rows: the label `y` depends on `a`, not on `b`."""
    return _ROWS
