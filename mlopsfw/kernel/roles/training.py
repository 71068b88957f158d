"""The trainer role: rows in, a trained model out as files of open formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from mlopsfw.kernel.roles.derived import Derived

if TYPE_CHECKING:
    import pyarrow as pa

Task = Literal["binary", "multiclass", "regression"]


class TrainingTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to learn.

    Args:
        task: `binary`, `multiclass` or `regression`.
        target: The label's column.
        features: Columns to learn from; empty means all but the target, `exclude` and `time`.
        exclude: Columns never to learn from (identifiers, what is known only after the label).
        time: The event-time column, where there is one.
        weight: A column of sample weights, where there is one.
        seed: Seeds everything random.
        options: Per-column wishes for the feature plan, such as `{"carrier": {"kind": "category", "buckets": 64}}`.
        derived: Columns that the model makes of a row by itself: they are not in the tables. `FeaturePlan` makes them.
    """

    task: Task
    target: str
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    time: str = ""
    weight: str = ""
    seed: int = 0
    options: dict[str, dict[str, Any]] = {}
    derived: tuple[Derived, ...] = ()


class TrainedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What a trainer returns. The kernel makes the bundle of it: signature, profile, golden rows, card, SBOM.

    Args:
        plan: The feature plan as JSON bytes (`mlopsfw.features.FeaturePlan.to_json()`).
        files: Relative name in the bundle → file, such as `{"model.onnx": …, "weights.safetensors": …}`.
        formats: Format → its main file, best first; the first must have a runtime: `{"onnx": "model.onnx"}`.
        outputs: Names of the model's outputs in order: `probability` for binary, `probabilities` for multiclass,
            `value` for regression.
        classes: The label values in output order; for binary `(negative, positive)`; empty for regression.
        metrics: Final metrics on the training and validation rows.
        facts: What is worth telling on the card: epochs, device, parameters, library versions.
    """

    plan: bytes
    files: Mapping[str, Path]
    formats: Mapping[str, str]
    outputs: tuple[str, ...]
    classes: tuple[str | int | bool, ...] = ()
    metrics: Mapping[str, float] = {}
    facts: Mapping[str, Any] = {}


class TrainingContext(Protocol):
    """What the kernel gives a training step."""

    @property
    def scratch(self) -> Path:
        """A folder for this attempt's files."""
        ...

    @property
    def checkpoints(self) -> Path:
        """A folder that is kept between attempts of this step in this run; resume from what is valid there."""
        ...

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record a metric of the run."""
        ...

    def progress(self, phase: str, share: float) -> None:
        """Tell how far it is, `share` in [0, 1]."""
        ...


class Trainer(Protocol):
    """Learns a model from tables."""

    def fit(
        self, task: TrainingTask, train: pa.Table, valid: pa.Table | None, context: TrainingContext
    ) -> TrainedModel:
        """Train on `train`, choosing by `valid` where given. Equal inputs, seed and machine give equal files."""
        ...
