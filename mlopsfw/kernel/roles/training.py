"""The trainer role: rows in, a trained model out as files of open formats."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.bundle import OutputColumn, SignatureColumn
from mlopsfw.kernel.roles.derived import Derived
from mlopsfw.kernel.roles.engine import Launcher

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")


class TrainingTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to learn.

    Args:
        task: `binary`, `multiclass`, `regression`, or another word that the trainer knows.
        target: The label's column.
        features: Columns to learn from; empty means all but the target, `exclude` and `time`.
        exclude: Columns never to learn from (identifiers, what is known only after the label).
        time: The event-time column, where there is one.
        weight: A column of sample weights, where there is one.
        seed: Seeds everything random.
        options: Per-column wishes for the feature plan, such as `{"carrier": {"kind": "category", "buckets": 64}}`.
        derived: Columns that the model makes of a row by itself: they are not in the tables. `FeaturePlan` makes them.
        quantiles: Of a regression: two levels, ascending. The model answers with these quantiles of the target, too.
    """

    task: str
    target: str
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    time: str = ""
    weight: str = ""
    seed: int = 0
    options: dict[str, dict[str, Any]] = {}
    derived: tuple[Derived, ...] = ()
    quantiles: tuple[float, ...] = ()


class TrainedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What a trainer returns. The kernel makes the bundle of it: signature, profile, golden rows, card, SBOM.

    Args:
        inputs: The columns of a request: `FeaturePlan.inputs`, or `mlopsfw.features.tables.signature_of(table, names)`.
        files: Name in the bundle, such as `weights/model.safetensors` → file. A feature plan that the runtime applies
            is called `plan.json` (`FeaturePlan.to_json()`); the kernel then proves that it serves as it trained.
        formats: Format → its main file, best first; the first must have a runtime: `{"onnx": "model.onnx"}`.
        outputs: The model's outputs in order. Empty means the task's own: `probability` for binary, `probabilities` for
            multiclass, `value` and those of `task.quantiles` for regression; another task has none, and declares them.
        classes: The label values in output order; for binary `(negative, positive)`; empty for regression.
        examples: Input → made-up values, as a request sends them, for golden rows. Needed where none can be drawn:
            binary. Never rows of anyone's data: a bundle keeps them.
        metrics: Final metrics on the training and validation rows.
        facts: What the card shows: epochs, device, library versions. A function is called only if the model is kept.
    """

    inputs: tuple[SignatureColumn, ...]
    files: Mapping[str, Path]
    formats: Mapping[str, str]
    outputs: tuple[OutputColumn, ...] = ()
    classes: tuple[str | int | bool, ...] = ()
    examples: Mapping[str, list[Any]] = {}
    metrics: Mapping[str, float] = {}
    facts: Mapping[str, Any] = {}


class TrainingContext(Protocol):
    """What the kernel gives a training step."""

    @property
    def scratch(self) -> Path:
        """A folder for this attempt's files."""

    @property
    def checkpoints(self) -> Path:
        """A folder that is kept between attempts of this step in this run; resume from what is valid there."""

    @property
    def launcher(self) -> Launcher | None:
        """Starts processes on other nodes. Without one, a trainer starts them on this machine."""

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:
        """Record a metric of the run."""

    def progress(self, phase: str, share: float) -> None:
        """Show how far it is, `share` in [0, 1]. Raise `UsageError` for anything else."""


class TrainingData(Protocol):
    """A table to learn from, as a handle: no row is read before one of its methods is asked for rows."""

    @property
    def schema(self) -> pa.Schema:
        """The columns."""

    @property
    def rows(self) -> int:
        """The number of rows."""

    @property
    def digest(self) -> str:
        """The digest of the content: equal tables have equal digests."""

    def lazy(self) -> Any:
        """Return the rows as a `polars.LazyFrame`."""

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows in memory, by default with all columns. Raise `DataError` for a column that there is not."""

    def batches(
        self,
        *,
        columns: Sequence[str] | None = None,
        size: int = 8192,
        seed: int | None = None,
        epoch: int = 0,
        shard: tuple[int, int] = (0, 1),
        start: int = 0,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one epoch, `size` in a batch. Equal arguments give equal batches.

        Args:
            columns: The columns to read; by default all.
            size: Rows in a batch.
            seed: Shuffles the rows, in another order each epoch; None keeps the order of the table.
            epoch: From 0.
            shard: (rank, of): one of `of` disjoint parts of equal length. Rows that cannot be divided are left out.
            start: The first batch to yield. Earlier ones are not read, except up to 262,144 rows before it.

        Raises:
            DataError: There is no such column.
            UsageError: A number is out of range.
        """


Ability = Literal["weight", "valid", "seed", "derived", "quantiles"]
"""What a trainer heeds: weights, validation rows (it reports `valid_…` metrics), seed, derived columns, quantiles."""


class Trainer(Protocol):
    """Learns a model from a table."""

    @property
    def tasks(self) -> Collection[str]:
        """The tasks that it learns, such as `{"binary", "regression"}`. The step `train` refuses the others."""

    @property
    def abilities(self) -> Collection[Ability]:
        """What it heeds. The step `train` refuses what the trainer would ignore."""

    def fit(
        self, task: TrainingTask, train: TrainingData, valid: TrainingData | None, context: TrainingContext
    ) -> TrainedModel:
        """Train on `train`, and choose by `valid` if given. Equal inputs, seed and machine give equal files."""
