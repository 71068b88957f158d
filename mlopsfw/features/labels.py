"""Labels and weights of a training table, checked: what every trainer needs of them, whatever it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.training import TrainingData, TrainingTask


def rows_with_label(data: TrainingData, task: TrainingTask, columns: Sequence[str], which: str) -> pl.DataFrame:
    """Return `columns` of the rows that have a label, in their order. NaN is no label.

    Args:
        data: The rows.
        task: Names the target.
        columns: What to read of them.
        which: Which rows these are, for messages: `training`, `validation`.

    Raises:
        DataError: There is no target column, or no row has a label.
    """
    frame: pl.DataFrame = labelled(data, task, which).select(columns).collect()
    if not frame.height:
        raise DataError(f"none of the {data.rows} {which} rows has a label in {task.target!r}")
    return frame


def labelled(data: TrainingData, task: TrainingTask, which: str) -> pl.LazyFrame:
    """Return the rows that have a label, unread. NaN is no label. Arguments are those of `rows_with_label`.

    Raises:
        DataError: There is no target column.
    """
    check_target(data, task, which)
    rows: pl.LazyFrame = data.lazy()
    schema = rows.collect_schema()
    return rows.filter(with_label(task.target, schema))


def check_target(data: TrainingData, task: TrainingTask, which: str) -> None:
    """Raise `DataError` if there is no target column."""
    if task.target not in data.schema.names:
        raise DataError(f"the {which} rows lack the target column {task.target!r}")


def with_label(target: str, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """Return the expression of whether a row has a label. NaN is no label."""
    label = pl.col(target)
    return label.is_not_null() & label.is_not_nan() if schema[target].is_float() else label.is_not_null()


def held_positions(rows: int, count: int, times: pl.Series | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of rows to learn from, and of `count` rows by which a training stops early.

    Args:
        rows: How many there are.
        count: How many to hold out.
        times: The times of the rows, of which the latest are held out; None to draw them.
        seed: Seeds the draw.

    Returns:
        Ascending int64 positions.
    """
    if times is None:
        order = np.random.default_rng(seed).permutation(rows)
    else:
        order = times.arg_sort(nulls_last=False).to_numpy().astype(np.int64)
    learned, held = np.split(order, [rows - count])
    return np.sort(learned), np.sort(held)


def numbers(labels: pl.Series) -> np.ndarray:
    """Return the labels of a regression as float64. Raise `DataError` if one is no finite number."""
    if not (labels.dtype.is_numeric() or labels.dtype == pl.Boolean):
        raise DataError(f"the target {labels.name!r} holds {labels.dtype}; a regression needs numbers")
    values = labels.cast(pl.Float64).to_numpy()
    if not np.isfinite(values).all():
        raise DataError(f"the target {labels.name!r} holds infinite values")
    return values


def classes_of(labels: pl.Series, task: str) -> tuple[str | int | bool, ...]:
    """Return the distinct labels in order; for a binary task `(negative, positive)`. Raise `DataError` if they are no classes."""
    if labels.dtype.is_float():
        raise DataError(f"the target {labels.name!r} holds {labels.dtype}; classes are text, integers or booleans")
    plain = labels.dtype.is_integer() or labels.dtype == pl.Boolean
    classes = tuple((labels if plain else labels.cast(pl.String)).unique().sort().to_list())
    if len(classes) < 2 or (task == "binary" and len(classes) != 2):  # noqa: PLR2004
        if len(classes) == 1:
            message = f"every training row has the label {classes[0]!r} in {labels.name!r}: there is nothing to learn"
            raise DataError(message, hint="Look at the step that makes the label, and at how the rows are split.")
        excerpt = ", ".join(map(repr, classes[:5]))
        raise DataError(
            f"the target {labels.name!r} has {len(classes)} classes ({excerpt}) in the training rows",
            hint="A binary task has exactly two; set task = 'multiclass' for more.",
        )
    return classes


def row_weights(rows: pl.DataFrame, task: TrainingTask) -> np.ndarray | None:
    """Return the weights of rows as float32, 0 for a null; None where all weigh alike. Raise `DataError` if they are no weights."""
    if not task.weight or task.weight not in rows.columns:
        return None
    return check_weights(rows[task.weight], np.float32)


def check_weights(column: pl.Series, dtype: type[np.floating] = np.float64, *, some: bool = True) -> np.ndarray:
    """Return a column of weights as numbers of a type, 0 for a null. Raise `DataError` if they are no weights.

    Args:
        column: The weights.
        dtype: The type.
        some: Whether all of them being zero is an error, as it is for a whole table but not for a part of it.
    """
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise DataError(f"the weights in {column.name!r} must be numbers, not {column.dtype}")
    with np.errstate(over="ignore"):
        values: np.ndarray = column.cast(float).fill_null(0.0).to_numpy().astype(dtype)
    if not (np.isfinite(values).all() and (values >= 0).all() and (values.any() or not some)):
        raise DataError(f"the weights in {column.name!r} must be finite, not negative, and not all zero")
    return values
