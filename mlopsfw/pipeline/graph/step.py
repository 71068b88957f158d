"""What a step receives and may return: `StepContext` while it runs, `BundleFolder` for a model. The step itself is a `mlopsfw.roles.Step`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.engine import Launcher, Resources

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data import datasets as _datasets
    from mlopsfw.kernel.store import blobs as _blobs
    from mlopsfw.models import registry as _registry
else:
    pl = lazy("polars")
    _datasets = lazy("mlopsfw.data.datasets")
    _blobs = lazy("mlopsfw.kernel.store.blobs")
    _registry = lazy("mlopsfw.models.registry")


@dataclass(frozen=True, slots=True)
class BundleFolder:
    """A folder that is a model bundle: return it from a step to store it as one.

    Args:
        path: The folder; it is stored before `run`'s scratch is emptied.
    """

    path: Path


class StepValues(Protocol):
    """Reads and stores the values of steps."""

    def load(self, artifact: Artifact, wanted: Any = None, *, folder: Path | None = None) -> Any:
        """Return the value behind a reference."""
        ...

    def store(self, value: object, what: str = "value") -> Artifact:
        """Store a value; return the reference to it."""
        ...

    def store_frames(self, frames: Iterable[pl.DataFrame], what: str = "value") -> Artifact:
        """Store a table that comes in frames of one schema."""
        ...


class MetricSink(Protocol):
    """Takes the metrics of a step."""

    def log(self, name: str, value: float, step: float | None = None) -> None:
        """Record one number."""
        ...


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """What a running step can use. A Python step receives it in its parameter `context`.

    Args:
        run: The run's id.
        step: The step's name.
        attempt: From 1.
        inputs: The stored inputs by parameter name.
        params: The step's params as given.
        resources: What the step asked its engine for.
        scratch: An empty, private folder, gone after the attempt.
        checkpoints: A private folder that is kept for the next attempt of this step with the same cache key, after a
            failure, a kill or `mlopsfw resume`; gone when the step has finished.
        datasets: The project's datasets.
        models: Its registered models.
        blobs: Its content-addressed bytes.
        values: Where inputs are read from, and values can be stored.
        metrics: Where `log_metric` writes.
        progress_file: Where `progress` leaves its last word for the display.
        launcher: Starts processes of the step on several nodes, if the engine can.
        debug: Whether a debugger may be at work: the step and its children run in one process, and an exception ends it.
    """

    run: str
    step: str
    attempt: int
    inputs: Mapping[str, Artifact]
    params: Mapping[str, Any]
    resources: Resources
    scratch: Path
    checkpoints: Path
    datasets: _datasets.Datasets
    models: _registry.Registry
    blobs: _blobs.BlobStore
    values: StepValues
    metrics: MetricSink
    progress_file: Path
    launcher: Launcher | None = None
    debug: bool = False
    _shown: list[float] = field(default_factory=lambda: [float("-inf")], repr=False)

    def load(self, name: str, wanted: Any = None) -> Any:
        """Return an input's value.

        Args:
            name: The parameter it was wired to.
            wanted: `pl.DataFrame`, `pl.LazyFrame`, `pa.Table`, `TrainingData` (a handle: nothing is read yet) or
                `Path`; None for what the kind gives by default: a `pl.DataFrame` for a table, a `pl.LazyFrame` for a dataset, a `Path` for a file, folder or bundle, the
                value itself for JSON.
        """
        return self.values.load(self.inputs[name], wanted, folder=self.scratch)

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:
        """Record a metric of this step. It is buffered, and durable at the end of the step."""
        self.metrics.log(name, value, step)

    def progress(self, phase: str, share: float) -> None:
        """Show the progress of a phase, `share` in [0, 1]. Cheap enough for an inner loop: most calls only read the clock.

        Raises:
            UsageError: `phase` is no text, or `share` no number in [0, 1].
        """
        share = _checked_share(phase, share)
        now = time.monotonic()
        if share < 1.0 and now - self._shown[0] < 0.2:  # noqa: PLR2004 - five times a second is as much as anyone sees
            return
        self._shown[0] = now
        with suppress(OSError):  # a full disk ends no step for the sake of what a terminal shows
            self.progress_file.write_bytes(msgspec.json.encode([phase, share]))

    def log(self, text: str) -> None:
        """Add a line to the step's log (`mlopsfw logs`)."""
        print(text, flush=True)  # noqa: T201 - the worker's standard output is the step's log


_ROUNDING = 1e-6  # of a share that a loop adds up: it ends no training


def _checked_share(phase: object, share: object) -> float:
    if isinstance(phase, str) and isinstance(share, Real) and -_ROUNDING <= (number := float(share)) <= 1 + _ROUNDING:
        return min(max(number, 0.0), 1.0)
    raise UsageError(
        f"progress({phase!r:.80}, {share!r:.80}) is no phase and share of it",
        hint='Write progress("fitting", done / all), a share from 0 to 1.',
    )
