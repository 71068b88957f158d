"""A run outside of any pipeline: what a notebook or a script logs is kept like a step's."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Self

from mlopsfw.kernel.base.ids import new_run_id
from mlopsfw.pipeline.run.events import RunFinished, RunStarted
from mlopsfw.pipeline.run.metrics import MetricLog, commit, logging_to
from mlopsfw.project.facade import Project


class start_run:  # noqa: N801 - reads as a call: with start_run("tuning") as run
    """Open a run outside of any pipeline, from a notebook or a script.

    Args:
        name: What to call it, for people.
        project: The project; the one at or above the current folder by default.
        params: What to remember about it, as JSON values.

    The run is done when the block ends, and failed if it ends with an exception.
    """

    def __init__(self, name: str = "", *, project: Project | None = None, params: dict[str, Any] | None = None) -> None:
        self.id, self.name = new_run_id(), name
        self._owned = project is None
        self._project = project or Project.open()
        self._params = params or {}
        self._began = time.monotonic()
        self._logging = contextlib.ExitStack()

    def __enter__(self) -> Self:
        started = RunStarted(pipeline=self.name, params=self._params, kind="script")
        self._project.ledger.stream(f"run/{self.id}").append(started)
        folder = self._project.private_folder("runs", self.id)
        self._log = MetricLog(folder / "metrics.jsonl")
        self._logging.enter_context(logging_to(self._log))
        return self

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record a metric of this run."""
        self._log.log(name, value, step)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        self._logging.close()
        commit(self._project.services, self.id, self._log)
        self._log.file.parent.rmdir()
        stream = self._project.ledger.stream(f"run/{self.id}")
        seconds = time.monotonic() - self._began
        if kind is None:
            stream.seal(RunFinished(status="done", exit_code=0, seconds=seconds))
        else:
            message = f"{kind.__name__}: {error}"
            stream.append(RunFinished(status="failed", exit_code=1, seconds=seconds, message=message))
        if self._owned:
            self._project.close()
