"""A training table as the matrix that trees read. Columns are read one at a time, so memory holds the matrix and one column."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from mlopsfw.capturelog.classes import class_codes
from mlopsfw.features.encoding import Encoding
from mlopsfw.features.fit import ColumnWish, learned_columns, read_wishes
from mlopsfw.features.labels import classes_of, numbers, row_weights, rows_with_label
from mlopsfw.features.tables import signature_of, table_arrays
from mlopsfw.kernel.base.errors import DataError, UsageError

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.bundle import SignatureColumn
    from mlopsfw.kernel.roles.training import TrainingData, TrainingTask

_SEEN = 3  # training rows that a category needs for a place of its own
_MOST = 1000  # categories with a place of their own; of others the most frequent
_BUCKETS = (64, 1 << 16)  # fewest and most of a hashed column


class Rows(NamedTuple):
    """Rows with a label.

    Args:
        numbers: float64 `[rows, columns]`, in column-major order.
        labels: float64: codes of classes, or values.
        weights: float32, or None where all rows weigh alike.
    """

    numbers: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None

    def at(self, index: np.ndarray) -> Rows:
        """Return the rows at an index."""
        return Rows(self.numbers[index], self.labels[index], None if self.weights is None else self.weights[index])


class Columns(NamedTuple):
    """What is learned of the training rows before the first tree.

    Args:
        inputs: The signature.
        encodings: Of the inputs, in order.
        classes: The label values by code; empty for regression.
    """

    inputs: tuple[SignatureColumn, ...]
    encodings: tuple[Encoding, ...]
    classes: tuple[str | int | bool, ...]


def training_rows(data: TrainingData, task: TrainingTask) -> tuple[Columns, Rows]:
    """Return the training rows, and how their columns are encoded. Raise `DataError` or `UsageError`."""
    names = learned_columns(data.schema.names, task)
    frame = rows_with_label(data, task, _labels_of(task, data), "training")
    classes = () if task.task == "regression" else classes_of(frame[task.target], task.task)
    wishes = read_wishes(task)
    inputs, encodings = [], []
    matrix = np.empty((frame.height, len(names)), order="F")
    for at, name in enumerate(names):
        column = rows_with_label(data, task, [name], "training")
        (signature,) = signature_of(column, [name])
        encoding = _encoding(column[name], signature, wishes.get(name, ColumnWish()), task.seed)
        matrix[:, at] = encoding.numbers(table_arrays(column, (signature,))[name])
        inputs.append(signature)
        encodings.append(encoding)
    columns = Columns(tuple(inputs), tuple(encodings), classes)
    return columns, Rows(matrix, _labels(frame, task, classes), row_weights(frame, task))


def validation_rows(data: TrainingData, task: TrainingTask, columns: Columns) -> Rows:
    """Return the validation rows, encoded as the training rows are. Raise `DataError`."""
    frame = rows_with_label(data, task, _labels_of(task, data), "validation")
    matrix = np.empty((frame.height, len(columns.inputs)), order="F")
    for at, (signature, encoding) in enumerate(zip(columns.inputs, columns.encodings, strict=True)):
        column = rows_with_label(data, task, [signature.name], "validation")
        matrix[:, at] = encoding.numbers(table_arrays(column, (signature,))[signature.name])
    return Rows(matrix, _labels(frame, task, columns.classes), row_weights(frame, task))


def held_out(rows: Rows, data: TrainingData, task: TrainingTask, share: float) -> tuple[Rows, Rows | None]:
    """Return the training rows to learn from, and those by which a training stops early: the latest by event time, else drawn.

    Args:
        rows: What `training_rows` made of `data`.
        data: The training rows; they may hold the column of the event time.
        task: Names it, and the seed.
        share: Of the rows that are held out, rounded down. None is held out where all of them would have no weight.
    """
    count = int(share * len(rows.labels))
    if task.time in data.schema.names:
        order = rows_with_label(data, task, [task.time], "training")[task.time].arg_sort(nulls_last=False).to_numpy()
    else:
        order = np.random.default_rng(task.seed).permutation(len(rows.labels))
    learned, held = (rows.at(np.sort(each)) for each in np.split(order, [len(order) - count]))
    usable = count and (held.weights is None or held.weights.any())
    return (learned, held) if usable else (rows, None)


def _labels_of(task: TrainingTask, data: TrainingData) -> list[str]:
    return [name for name in (task.target, task.weight) if name and name in data.schema.names]


def _labels(frame: pl.DataFrame, task: TrainingTask, classes: tuple[str | int | bool, ...]) -> np.ndarray:
    labels = frame[task.target]
    return class_codes(labels, classes).astype(np.float64) if classes else numbers(labels)


def _encoding(values: pl.Series, column: SignatureColumn, wish: ColumnWish, seed: int) -> Encoding:
    _check(column, wish)
    if column.type != "string" and wish.kind != "category" and not wish.buckets:
        return Encoding(column=column.name, kind="number")
    counts = values.cast(pl.String).drop_nulls().alias("text").value_counts()  # a column may be called "count"
    if wish.pii or wish.buckets:
        fewest, most = _BUCKETS
        suited = 1 << (2 * max(counts.height, 1) - 1).bit_length()  # a power of two, at least twice the categories
        buckets = wish.buckets or min(max(suited, fewest), most)
        return Encoding(column=column.name, kind="hash", buckets=buckets, seed=seed)
    frequent = counts.filter(pl.col("count") >= _SEEN).sort(["count", "text"], descending=[True, False])
    return Encoding(column=column.name, kind="category", categories=tuple(sorted(frequent["text"][:_MOST])))


def _check(column: SignatureColumn, wish: ColumnWish) -> None:
    name = column.name
    if column.type in ("binary", "list", "tensor"):
        hint = "Add it to `exclude`, or convert it to a number, text, boolean, date or datetime in an earlier step."
        raise DataError(f"column {name!r} holds {column.type}, and no tree can split on it", hint=hint)
    category = wish.kind == "category" or wish.buckets > 0
    if category and column.type not in ("string", "integer"):
        raise UsageError(f"column {name!r} is of type {column.type} and cannot be a category")
    if wish.kind == "number" and column.type in ("string", "date", "datetime"):
        raise UsageError(f"column {name!r} is of type {column.type} and cannot be a number")
    if wish.bins is not None:
        hint = "Remove `bins`; `max_bin` in the trainer's options holds for all columns."
        raise UsageError(f"column {name!r} has `bins`, but trees choose the intervals themselves", hint=hint)
    if wish.pii and column.type != "string" and not category:
        hint = "Add it to `exclude`, pseudonymise it, or use a trainer that keeps no values, such as torch."
        raise UsageError(f"column {name!r} is personal, and the file of the trees keeps values of numbers", hint=hint)
