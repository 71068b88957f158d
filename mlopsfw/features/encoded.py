"""A training table as the matrix that trees read: in memory, or block by block.

In memory, columns are read one at a time, so memory holds the matrix and one column.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import polars as pl

from mlopsfw.capturelog.classes import class_codes
from mlopsfw.data.tables.prefetch import in_order
from mlopsfw.features.blocks import Part
from mlopsfw.features.encoding import Encoding, matrix
from mlopsfw.features.fit import ColumnWish, check_kind, hash_buckets, is_category, learned_columns, read_wishes
from mlopsfw.features.labels import check_weights, classes_of, held_positions, numbers, row_weights, rows_with_label
from mlopsfw.features.size import matrix_fits
from mlopsfw.features.summary import WholeColumn
from mlopsfw.features.survey import survey, survey_columns
from mlopsfw.features.tables import signature_of, table_arrays
from mlopsfw.kernel.base.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlopsfw.features.summary import Summary
    from mlopsfw.features.survey import Survey
    from mlopsfw.kernel.roles.bundle import SignatureColumn
    from mlopsfw.kernel.roles.training import TrainingData, TrainingTask

_SEEN = 3  # training rows that a category needs for a place of its own
_MOST = 1000  # categories with a place of their own; of others the most frequent


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


def rows_of_trees(
    train: TrainingData, valid: TrainingData | None, task: TrainingTask, memory: str
) -> tuple[Columns, dict[str, Rows | MatrixBlocks]]:
    """Return how columns are encoded, and the rows: `train`, and `valid` if there are any. They are in memory if they fit.

    Args:
        train: The rows to learn from.
        valid: Those to stop by.
        task: Names the columns.
        memory: What the rows may take; see `mlopsfw.features.size`.

    Raises:
        DataError: The rows are not usable for training.
        UsageError: An option of a column does not fit.
    """
    connected = valid if valid is not None and valid.rows else None
    sets: dict[str, Rows | MatrixBlocks] = {}
    fit = matrix_fits(train, connected, task, memory)
    columns, sets["train"] = training_rows(train, task) if fit else training_blocks(train, task, memory)
    if connected is not None:
        validation = validation_rows if fit else partial(validation_blocks, memory=memory)
        sets["valid"] = validation(connected, task, columns)
    return columns, sets


def training_rows(data: TrainingData, task: TrainingTask) -> tuple[Columns, Rows]:
    """Return the training rows, and how their columns are encoded. Raise `DataError` or `UsageError`."""
    names = learned_columns(data.schema.names, task)
    frame = rows_with_label(data, task, _labels_of(task, data), "training")
    classes = () if task.task == "regression" else classes_of(frame[task.target], task.task)
    wishes = read_wishes(task)
    inputs, encodings = [], []
    values = np.empty((frame.height, len(names)), order="F")
    for at, name in enumerate(names):
        column = rows_with_label(data, task, [name], "training")
        (signature,) = signature_of(column, [name])
        encoding = _encoding(WholeColumn(column[name]), signature, wishes.get(name, ColumnWish()), task.seed)
        values[:, at] = encoding.numbers(table_arrays(column, (signature,))[name])
        inputs.append(signature)
        encodings.append(encoding)
    columns = Columns(tuple(inputs), tuple(encodings), classes)
    return columns, Rows(values, _labels(frame, task, classes), row_weights(frame, task))


def validation_rows(data: TrainingData, task: TrainingTask, columns: Columns) -> Rows:
    """Return the validation rows, encoded as the training rows are. Raise `DataError`."""
    frame = rows_with_label(data, task, _labels_of(task, data), "validation")
    values = np.empty((frame.height, len(columns.inputs)), order="F")
    for at, (signature, encoding) in enumerate(zip(columns.inputs, columns.encodings, strict=True)):
        column = rows_with_label(data, task, [signature.name], "validation")
        values[:, at] = encoding.numbers(table_arrays(column, (signature,))[signature.name])
    return Rows(values, _labels(frame, task, columns.classes), row_weights(frame, task))


class MatrixBlocks:
    """Rows that do not fit into memory as a matrix: read and encoded block by block, in the order of the table.

    Args:
        surveyed: What a pass over the table gathered.
        part: Which of its rows.
        columns: How they are encoded.
        task: Names target, weights and time.
    """

    def __init__(self, surveyed: Survey, part: Part, columns: Columns, task: TrainingTask) -> None:
        self._surveyed, self._part, self._columns, self._task = surveyed, part, columns, task
        self._blocks = surveyed.blocks(part)

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the blocks that have rows."""
        return [number for number, size in enumerate(self._blocks.sizes) if size]

    def size(self, number: int) -> int:
        """Return the rows of one block."""
        return self._blocks.sizes[number]

    def block(self, number: int) -> Rows:
        """Return one block."""
        return self._rows(self._blocks.block(number))

    def all(self) -> Iterator[Rows]:
        """Yield every block that has rows. One is read while another is used."""
        return in_order(self.block, self.numbers, threads=1)

    @cached_property
    def sample(self) -> Rows:
        """Rows that stand for all of them where the trained model is measured."""
        return self._rows(self._surveyed.rows_of(self._part))

    def held_out(self, share: float) -> tuple[MatrixBlocks, MatrixBlocks | None]:
        """Return the rows to learn from, and those by which a training stops early, about this share of them."""
        parts = self._surveyed.parts(self._task, share)
        if parts[1] is None:
            return self, None
        learned, held = (MatrixBlocks(self._surveyed, part, self._columns, self._task) for part in parts if part)
        _, weights = held.labels() if len(held) and len(learned) else (None, np.zeros(1))
        return (learned, held) if weights is None or weights.any() else (self, None)

    def labels(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the labels of all rows, and their weights. Reads these columns alone."""
        names = _labels_of(self._task, self._blocks.data)
        narrow = self._blocks.only(names).in_order()
        parts = [(_labels(rows, self._task, self._columns.classes), _weights(rows, self._task)) for rows in narrow]
        labels, weights = zip(*parts, strict=True)
        return np.concatenate(labels), None if weights[0] is None else np.concatenate(weights)

    def _rows(self, frame: pl.DataFrame) -> Rows:
        arrays = table_arrays(frame, self._columns.inputs)
        values = matrix(self._columns.encodings, arrays)
        return Rows(values, _labels(frame, self._task, self._columns.classes), _weights(frame, self._task))


def row_count(rows: Rows | MatrixBlocks) -> int:
    """Return the number of rows."""
    return len(rows) if isinstance(rows, MatrixBlocks) else len(rows.labels)


def sample_of(rows: Rows | MatrixBlocks) -> Rows:
    """Return the rows that metrics are computed of: all that are in memory, else a sample."""
    return rows.sample if isinstance(rows, MatrixBlocks) else rows


def training_blocks(data: TrainingData, task: TrainingTask, memory: str) -> tuple[Columns, MatrixBlocks]:
    """Return what `training_rows` does, for rows that do not fit into memory. Reads the table once."""
    names, wishes = learned_columns(data.schema.names, task), read_wishes(task)
    time = [task.time] if task.time in data.schema.names else []
    read = list(dict.fromkeys([*names, *_labels_of(task, data), *time]))
    surveyed, summaries = survey_columns(data, task, read, memory)
    inputs, encodings = [], []
    for name in names:
        (signature,) = signature_of(surveyed.sample[:0], [name])
        signature = msgspec.structs.replace(signature, nullable=summaries[name].nulls)
        encodings.append(_encoding(summaries[name], signature, wishes.get(name, ColumnWish()), task.seed))
        inputs.append(signature)
    classes = () if task.task == "regression" else surveyed.classes(task.task)
    columns = Columns(tuple(inputs), tuple(encodings), classes)
    return columns, MatrixBlocks(surveyed, Part(target=task.target), columns, task)


def validation_blocks(data: TrainingData, task: TrainingTask, columns: Columns, memory: str) -> MatrixBlocks:
    """Return the validation rows, encoded as the training rows are. Reads them once."""
    names = [name for name in (each.name for each in columns.inputs) if name in data.schema.names]
    surveyed = survey(data, task, list(dict.fromkeys([*names, *_labels_of(task, data)])), "validation", memory)
    return MatrixBlocks(surveyed, Part(target=task.target), columns, task)


def _weights(rows: pl.DataFrame, task: TrainingTask) -> np.ndarray | None:
    """Return the weights of some of the rows, which may all be zero."""
    if not task.weight or task.weight not in rows.columns:
        return None
    return check_weights(rows[task.weight], np.float32, some=False)


def held_out(
    rows: Rows | MatrixBlocks, data: TrainingData, task: TrainingTask, share: float
) -> tuple[Rows | MatrixBlocks, Rows | MatrixBlocks | None]:
    """Return the training rows to learn from, and those by which a training stops early: the latest by event time, else drawn.

    Args:
        rows: What `training_rows` made of `data`.
        data: The training rows; they may hold the column of the event time.
        task: Names it, and the seed.
        share: Of the rows that are held out, rounded down. None is held out where all of them would have no weight.
    """
    if isinstance(rows, MatrixBlocks):
        return rows.held_out(share)
    count = int(share * len(rows.labels))
    timed = task.time in data.schema.names
    times = rows_with_label(data, task, [task.time], "training")[task.time] if timed else None
    learned, held = (rows.at(each) for each in held_positions(len(rows.labels), count, times, task.seed))
    usable = count and (held.weights is None or held.weights.any())
    return (learned, held) if usable else (rows, None)


def _labels_of(task: TrainingTask, data: TrainingData) -> list[str]:
    return [name for name in (task.target, task.weight) if name and name in data.schema.names]


def _labels(frame: pl.DataFrame, task: TrainingTask, classes: tuple[str | int | bool, ...]) -> np.ndarray:
    labels = frame[task.target]
    return class_codes(labels, classes).astype(np.float64) if classes else numbers(labels)


def _encoding(summary: Summary, column: SignatureColumn, wish: ColumnWish, seed: int) -> Encoding:
    _check(column, wish)
    if not is_category(column.type, wish):
        return Encoding(column=column.name, kind="number")
    if wish.buckets:
        return Encoding(column=column.name, kind="hash", buckets=wish.buckets, seed=seed)
    counts = summary.counts
    if wish.pii:
        return Encoding(column=column.name, kind="hash", buckets=hash_buckets(counts.height), seed=seed)
    frequent = counts.filter(pl.col("count") >= _SEEN).sort(["count", "text"], descending=[True, False])
    return Encoding(column=column.name, kind="category", categories=tuple(sorted(frequent["text"][:_MOST])))


def _check(column: SignatureColumn, wish: ColumnWish) -> None:
    name = column.name
    if column.type in ("binary", "list", "tensor"):
        hint = "Add it to `exclude`, or convert it to a number, text, boolean, date or datetime in an earlier step."
        raise DataError(f"column {name!r} holds {column.type}, and no tree can split on it", hint=hint)
    check_kind(column, wish)
    if wish.bins is not None:
        hint = "Remove `bins`; `max_bin` in the trainer's options holds for all columns."
        raise UsageError(f"column {name!r} has `bins`, but trees choose the intervals themselves", hint=hint)
    if wish.pii and not is_category(column.type, wish):
        hint = "Add it to `exclude`, pseudonymise it, or use a trainer that keeps no values, such as torch."
        raise UsageError(f"column {name!r} is personal, and the file of the trees keeps values of numbers", hint=hint)
