"""What a step is made of: `BuiltinStep` describes one, `StepContext` is what it may use while it runs.

Nothing here runs anything. A module that defines a `BuiltinStep` is imported whenever a pipeline that uses it is planned, so it
imports numpy, polars, pyarrow and the like inside its functions only. A step that acts on more of the project than `StepContext`
offers is made with these parts (`step(endpoints)`).

    class CleanParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        column: str

    def _run(context: StepContext, params: CleanParams) -> Mapping[str, object]:
        rows = context.load("rows")                     # a pl.DataFrame; or load("rows", pa.Table), pl.LazyFrame, Path
        return {"rows": rows.drop_nulls(params.column)}  # a table, a JSON value, a Path, a BundleFolder or an Artifact

    def step() -> BuiltinStep:
        return BuiltinStep(name="clean", params=CleanParams, run=_run, inputs=("rows",), outputs=("rows",))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mlopsfw.kernel.roles.artifact import Artifact

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.datasets import Datasets
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.models.registry import Registry


class NoParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a step that has none."""


@dataclass(frozen=True, slots=True)
class BundleFolder:
    """A folder that is a model bundle: return it from a step to store it as one.

    Args:
        path: The folder; it is stored before `run`'s scratch is emptied.
    """

    path: Path


def _no_reads(_params: Any) -> Iterable[str]:
    return ()


def _no_facts(_params: Any) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinStep:
    """A step that `use = "name"` selects.

    Args:
        name: What `use` says.
        run: Does the work; returns output name → value, exactly `outputs` (see `mlopsfw.pipeline.values.codec.Values.store` for what a value can be).
        params: The struct (frozen, unknown fields forbidden) that the step's own keys in the TOML are read into.
        inputs: Parameter names that must be wired.
        optional: Parameter names that may be wired; `context.inputs` lacks those that are not.
        named: From its params, names of further inputs that must be wired.
        variadic: Whether further inputs under any name are accepted.
        each: Those of its inputs on whose parts it may run one at a time, since their rows do not depend on each other; None for any.
        outputs: Names of the values it returns; the first is what a bare `step` reference means.
        version: Raise it when the same inputs would give another result; it is part of the cache key.
        cacheable: False for a step whose point is its effect (deploy, register, alert): it runs every time.
        plugins: Roles whose selected providers it uses (`"trainer"`): their versions and options count for the cache.
        reads: From its params, files and globs relative to the project that it opens: their content counts for the cache.
        facts: From its params, whatever else its result hangs on (an alias's target, a dataset's head), as a
            small JSON value; counts for the cache.
        summary: One line for people.
    """

    name: str
    run: Callable[[StepContext, Any], Mapping[str, object]]
    params: type[msgspec.Struct] = NoParams
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    named: Callable[[Any], Iterable[str]] = _no_reads
    variadic: bool = False
    each: tuple[str, ...] | None = ()
    outputs: tuple[str, ...] = ("result",)
    version: int = 1
    cacheable: bool = True
    plugins: tuple[str, ...] = ()
    reads: Callable[[Any], Iterable[str]] = _no_reads
    facts: Callable[[Any], Mapping[str, object]] = _no_facts
    summary: str = ""


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

    def log(self, name: str, value: float, step: int | None = None) -> None:
        """Record one number."""
        ...


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """What a running step may use. A Python step gets it in a parameter named `context`.

    Args:
        run: The run's id.
        step: The step's name.
        attempt: From 1.
        inputs: The stored inputs by parameter name.
        params: The step's params as given.
        scratch: An empty, private folder, gone after the attempt.
        checkpoints: A private folder that is kept for the next attempt of this step with the same cache key, after a
            failure, a kill or `mlopsfw resume`; gone when the step has finished.
        datasets: The project's datasets.
        models: Its registered models.
        blobs: Its content-addressed bytes.
        values: Where inputs are read from, and values can be stored.
        metrics: Where `log_metric` writes.
        progress_file: Where `progress` leaves its last word for the display.
    """

    run: str
    step: str
    attempt: int
    inputs: Mapping[str, Artifact]
    params: Mapping[str, Any]
    scratch: Path
    checkpoints: Path
    datasets: Datasets
    models: Registry
    blobs: BlobStore
    values: StepValues
    metrics: MetricSink
    progress_file: Path
    _shown: list[float] = field(default_factory=lambda: [float("-inf")], repr=False)

    def load(self, name: str, wanted: Any = None) -> Any:
        """Return an input's value.

        Args:
            name: The parameter it was wired to.
            wanted: `pl.DataFrame`, `pl.LazyFrame`, `pa.Table` or `Path`; None for what the kind gives by default: a
                `pl.DataFrame` for a table, a `pl.LazyFrame` for a dataset, a `Path` for a file, folder or bundle, the
                value itself for JSON.
        """
        return self.values.load(self.inputs[name], wanted, folder=self.scratch)

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record a metric of this step; buffered, durable at the step's end."""
        self.metrics.log(name, value, step)

    def progress(self, phase: str, share: float) -> None:
        """Show how far a phase is, `share` in [0, 1]. Cheap enough for an inner loop: most calls only read the clock."""
        now = time.monotonic()
        if share < 1.0 and now - self._shown[0] < 0.2:  # noqa: PLR2004 - five times a second is as much as anyone sees
            return
        self._shown[0] = now
        self.progress_file.write_bytes(msgspec.json.encode([phase, min(max(share, 0.0), 1.0)]))

    def log(self, text: str) -> None:
        """Add a line to the step's log (`mlopsfw logs`)."""
        print(text, flush=True)  # noqa: T201 - the worker's standard output is the step's log
