"""The trainer `sample`: a ridge regression, and the runtime that loads its models, whose format is `sample` too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import BundleError, DataError
from mlopsfw.roles import (
    Ability,
    Host,
    Manifest,
    Model,
    Runtime,
    TrainedModel,
    Trainer,
    TrainingContext,
    TrainingData,
    TrainingTask,
    read_listed,
    read_model,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.features import FeaturePlan


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[trainer.sample]`.

    Args:
        penalty: How strongly large coefficients are punished.
    """

    penalty: float = 1e-3


class RuntimeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[runtime.sample]`: there is nothing to set."""


class SampleTrainer:
    """Solves a regression at once. A feature plan makes numbers of the columns."""

    tasks = frozenset({"regression"})
    abilities: tuple[Ability, ...] = ("weight", "valid")

    def __init__(self, penalty: float) -> None:
        self._penalty = penalty

    def fit(
        self, task: TrainingTask, train: TrainingData, valid: TrainingData | None, context: TrainingContext
    ) -> TrainedModel:
        """Train on the rows that have a label. Raise `DataError` where none has."""
        import numpy as np

        from mlopsfw.features import FeaturePlan

        rows = _rows_with_label(train, task)
        if not rows.height:
            raise DataError(f"no training row has a label in {task.target!r}", hint="Correct `target`.")
        plan = FeaturePlan.fit(rows, task)
        design, labels = _design(plan, plan.polars(rows)), rows[task.target].cast(float).to_numpy()
        weights = _weights(rows, task)
        gram = design.T @ (design * weights[:, None]) + self._penalty * np.eye(design.shape[1])
        coefficients = np.linalg.solve(gram, design.T @ (labels * weights))
        metrics = {"train_mse": _error(design @ coefficients, rows, task)}
        if valid is not None:
            checked = _rows_with_label(valid, task)
            answers = _design(plan, plan.polars(checked)) @ coefficients
            metrics["valid_mse"] = _error(answers, checked, task)
        context.progress("solved", 1.0)
        context.log_metric("train_mse", metrics["train_mse"])
        files = {"model.json": context.scratch / "model.json", "plan.json": context.scratch / "plan.json"}
        files["model.json"].write_text(json.dumps({"coefficients": coefficients.tolist()}), encoding="utf-8")
        files["plan.json"].write_bytes(plan.to_json())
        return TrainedModel(inputs=plan.inputs, files=files, formats={"sample": "model.json"}, metrics=metrics)


class SampleModel:
    """A loaded model."""

    def __init__(self, plan: FeaturePlan, coefficients: np.ndarray) -> None:
        self._plan, self._coefficients = plan, coefficients

    def predict(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return `value` for each row. Each row is summed by itself, so that a row alone has its answer in a batch."""
        return {"value": (_design(self._plan, self._plan.apply(columns)) * self._coefficients).sum(axis=1)}


class SampleRuntime:
    """Loads models of the format `sample`."""

    def load(self, folder: Path, manifest: Manifest) -> Model:
        """Load the model. Raise `BundleError` where it holds no coefficients, or answers what the manifest does not say."""
        import numpy as np

        from mlopsfw.features import FeaturePlan

        if [output.name for output in manifest.outputs] != ["value"]:
            raise BundleError(f"{folder}: a model of this format answers with `value` alone")
        plan = FeaturePlan.from_json(read_listed(folder, manifest, "plan.json"))
        try:
            read = msgspec.json.decode(read_model(folder, manifest, "sample"), type=dict[str, list[float]])
            coefficients = np.array(read["coefficients"])
        except (msgspec.DecodeError, KeyError) as error:
            raise BundleError(f"{folder / 'model.json'} holds no coefficients: {error}") from None
        return SampleModel(plan, coefficients)


def _rows_with_label(data: TrainingData, task: TrainingTask) -> pl.DataFrame:
    from mlopsfw.features.fit import training_columns

    rows: pl.DataFrame = data.lazy().select(training_columns(data.schema.names, task)).collect()
    return rows.drop_nulls(task.target)


def _weights(rows: pl.DataFrame, task: TrainingTask) -> np.ndarray:
    import numpy as np

    return rows[task.weight].to_numpy() if task.weight in rows.columns else np.ones(rows.height)


def _error(answers: np.ndarray, rows: pl.DataFrame, task: TrainingTask) -> float:
    """Return the mean squared error. Each row counts by its weight."""
    import numpy as np

    labels = rows[task.target].cast(float).to_numpy()
    return float(np.average((answers - labels) ** 2, weights=_weights(rows, task)))


def _design(plan: FeaturePlan, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the matrix of the regression: a constant, the plan's numbers, and a column for each code of a category."""
    import numpy as np

    rows = len(next(iter(arrays.values())))
    codes = [np.eye(count)[arrays["categorical"][:, at]] for at, count in enumerate(plan.code_counts)]
    numbers = [arrays["numeric"]] if "numeric" in arrays else []
    return np.concatenate([np.ones((rows, 1)), *numbers, *codes], axis=1, dtype=np.float64)


def _build(config: SampleConfig, _host: Host) -> Trainer:
    return SampleTrainer(config.penalty)


def _build_runtime(_config: RuntimeConfig, _host: Host) -> Runtime:
    return SampleRuntime()


@hookimpl
def mlopsfw_trainers() -> Iterable[Provider[Trainer]]:
    """Offer the trainer."""
    yield Provider("sample", SampleConfig, _build, "Ridge regression")


@hookimpl
def mlopsfw_runtimes() -> Iterable[Provider[Runtime]]:
    """Offer the runtime, by its format."""
    yield Provider("sample", RuntimeConfig, _build_runtime, "Coefficients of a ridge regression")
