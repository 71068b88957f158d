"""A ridge regression with a preprocessing of its own, and the runtime that loads its models, whose format is `acme`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from acme_mlops import NoOptions
from mlopsfw import Provider, hookimpl, roles
from mlopsfw.errors import BundleError, DataError
from mlopsfw.roles import TrainedModel, TrainingContext, TrainingData, TrainingTask

if TYPE_CHECKING:
    import numpy as np


class TrainerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[trainer]` with `use = "acme"`: `penalty` keeps coefficients small."""

    penalty: float = 1.0


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a column becomes numbers: a place for each text, or the distance from `middle` in units of `scale`, 0 if missing."""

    name: str
    texts: tuple[str, ...] | None = None
    middle: float = 0.0
    scale: float = 1.0

    def numbers(self, values: np.ndarray) -> np.ndarray:
        import numpy as np

        if self.texts is not None:
            return np.array([values == text for text in self.texts], float).reshape(len(self.texts), len(values)).T
        return np.nan_to_num(np.clip((_floats(values) - self.middle) / self.scale, -5, 5))[:, None]


class AcmeModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    columns: tuple[Column, ...]
    coefficients: tuple[float, ...] = ()

    def design(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        import numpy as np

        parts = [column.numbers(arrays[column.name]) for column in self.columns]
        return np.concatenate([np.ones((len(parts[0]), 1)), *parts], axis=1)

    def predict(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {"value": (self.design(columns) * self.coefficients).sum(axis=1)}  # a row alone sums as in a batch


class AcmeTrainer:
    tasks = frozenset({"regression"})
    abilities: tuple[roles.Ability, ...] = ("weight",)

    def __init__(self, penalty: float) -> None:
        self._penalty = penalty

    def fit(
        self, task: TrainingTask, train: TrainingData, _valid: TrainingData | None, context: TrainingContext
    ) -> TrainedModel:
        import numpy as np

        from mlopsfw.features.fit import learned_columns, training_columns
        from mlopsfw.features.labels import numbers, row_weights, rows_with_label
        from mlopsfw.features.tables import signature_of, table_arrays

        names = train.schema.names
        rows = rows_with_label(train, task, training_columns(names, task), "training")
        arrays = table_arrays(rows, inputs := signature_of(rows, learned_columns(names, task)))
        columns = tuple(_column(each, arrays[each.name]) for each in inputs)
        design, labels, weights = AcmeModel(columns).design(arrays), numbers(rows[task.target]), row_weights(rows, task)
        weighted = design if weights is None else design * weights[:, None]
        ridge = weighted.T @ design + self._penalty * np.eye(design.shape[1])
        solved = np.linalg.solve(ridge, weighted.T @ labels)
        metrics = {"train_mse": float(np.average((design @ solved - labels) ** 2, weights=weights))}
        context.progress("solved", 1.0)
        context.log_metric("train_mse", metrics["train_mse"])
        file = context.scratch / "model.json"
        file.write_bytes(msgspec.json.encode(AcmeModel(columns, tuple(solved.tolist()))))
        return TrainedModel(inputs=inputs, files={file.name: file}, formats={"acme": file.name}, metrics=metrics)


def _column(column: roles.SignatureColumn, values: np.ndarray) -> Column:
    import numpy as np

    if column.type == "string":
        seen = Counter(value for value in values if value is not None)
        return Column(column.name, texts=tuple(text for text, _ in seen.most_common(32)))
    if column.type in ("binary", "list", "tensor"):
        raise DataError(f"the column {column.name!r} holds {column.type}", hint="Add it to `exclude`.")
    numbers = _floats(values)
    low, middle, high = np.percentile(numbers[np.isfinite(numbers)], [25, 50, 75])
    return Column(column.name, middle=float(middle), scale=float(high - low) or 1.0)


def _floats(values: np.ndarray) -> np.ndarray:
    return values.astype("M8[s]" if values.dtype.kind == "M" else float).astype(float)  # dates count in seconds


class AcmeRuntime:
    def load(self, folder: Path, manifest: roles.Manifest) -> AcmeModel:
        if [output.name for output in manifest.outputs] != ["value"]:
            raise BundleError(f"{folder}: a model of this format answers with `value` alone")
        try:
            return msgspec.json.decode(roles.read_model(folder, manifest, "acme"), type=AcmeModel)
        except msgspec.DecodeError as error:
            raise BundleError(f"{folder / 'model.json'} holds no model: {error}") from None


@hookimpl
def mlopsfw_trainers() -> Iterable[Provider[AcmeTrainer]]:
    summary = "Ridge regression with Acme's preprocessing"
    yield Provider("acme", TrainerConfig, lambda config, _host: AcmeTrainer(config.penalty), summary)


@hookimpl
def mlopsfw_runtimes() -> Iterable[Provider[AcmeRuntime]]:
    yield Provider("acme", NoOptions, lambda _config, _host: AcmeRuntime(), "Acme's ridge regressions")
