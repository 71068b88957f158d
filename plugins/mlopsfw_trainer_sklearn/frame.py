"""The frame that an estimator gets. Training and serving make it by the same code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from mlopsfw.roles import SignatureColumn

_TYPES: dict[str, Any] = {
    "number": pl.Float64, "integer": pl.Int64, "boolean": pl.Boolean, "string": pl.String, "date": pl.Date,
    "datetime": pl.Datetime("us"), "binary": pl.Binary,
}  # fmt: skip


def frame_of(columns: Mapping[str, np.ndarray], inputs: Sequence[SignatureColumn]) -> pl.DataFrame:
    """Return the inputs, which are as a model gets them, as a frame with a column each. A missing number is NaN."""
    return pl.DataFrame([_series(columns[column.name], column) for column in inputs])


def outputs_of(estimator: Any, frame: pl.DataFrame | np.ndarray, task: str) -> np.ndarray:
    """Return the task's output for the rows of a frame. Most estimators refuse a frame without rows."""
    if task == "regression":
        return np.asarray(estimator.predict(frame), dtype=np.float64).reshape(-1) if len(frame) else np.empty(0)
    probabilities = estimator.predict_proba(frame) if len(frame) else np.empty((0, len(estimator.classes_)))
    return probabilities[:, 1] if task == "binary" else probabilities


def _series(values: np.ndarray, column: SignatureColumn) -> pl.Series:
    if column.type in ("number", "tensor"):
        return pl.Series(column.name, values)
    if column.type == "list":
        return pl.Series(column.name, list(values), dtype=pl.List(_TYPES[column.items or "number"]))
    if values.dtype == object:
        return pl.Series(column.name, values.tolist(), dtype=_TYPES[column.type])
    return pl.Series(column.name, values).cast(_TYPES[column.type])
