"""The memory that the rows of a training take, estimated from the types of their columns before any row is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from mlopsfw.features.fit import DEFAULT_BINS, ColumnWish, choose, is_category, read_wishes
from mlopsfw.features.tables import column_type
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.roles.engine import Resources, machine_memory

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.training import TrainingData, TrainingTask

SHARE: Final = 4
"""The rows of a training may take 1/4 of the memory: preparing them takes up to twice as much, and other processes need some, too."""
_TEXT, _VALUE, _FLOAT = 32, 8, 4  # bytes; a text takes 32 on average


def plan_fits(train: TrainingData, valid: TrainingData | None, task: TrainingTask, memory: str) -> bool:
    """Return whether the rows of a training fit into memory, as they are read and as a feature plan encodes them.

    Args:
        train: The rows to learn from.
        valid: Those to stop by.
        task: Names the columns.
        memory: What they may take, such as `4GiB`; empty for a quarter of the memory of this machine, or of its container.

    Raises:
        DataError: There is no such column.
        UsageError: An option cannot be read.
    """
    schema = _schema(train)
    chosen, wishes = choose(list(schema), task), read_wishes(task)
    kinds: dict[str, str] = {name: column_type(dtype) or "string" for name, dtype in schema.items()}
    kinds |= {each.name: each.type for each in chosen.derived}
    read = sum(_read(kinds[name]) for name in [*chosen.all, task.target])
    row = read + sum(_encoded(kinds[name], wishes.get(name, ColumnWish())) for name in chosen.names)
    return _fits(train, valid, row, memory)


def matrix_fits(train: TrainingData, valid: TrainingData | None, task: TrainingTask, memory: str) -> bool:
    """Return whether the rows of a training fit into memory as the matrix that trees read. Arguments and errors are those of `plan_fits`."""
    return _fits(train, valid, _VALUE * (1 + len(choose(train.schema.names, task).names)), memory)


def _fits(train: TrainingData, valid: TrainingData | None, row: int, memory: str) -> bool:
    rows = train.rows + (0 if valid is None else valid.rows)
    try:
        allowed = Resources(memory=memory).bytes
    except ValueError as error:
        raise UsageError(str(error), hint="Leave it empty for a quarter of this machine's.") from None
    return rows * row <= (allowed or machine_memory() // SHARE)


def _schema(data: TrainingData) -> dict[str, pl.DataType]:
    frame = pl.from_arrow(data.schema.empty_table())
    return dict(frame.schema) if isinstance(frame, pl.DataFrame) else {}


def _read(kind: str) -> int:
    return _TEXT if kind == "string" else _VALUE


def _encoded(kind: str, wish: ColumnWish) -> int:
    if is_category(kind, wish):
        return _VALUE
    if kind in ("date", "datetime"):
        return _FLOAT * (6 if kind == "datetime" else 4)
    bins = DEFAULT_BINS if wish.bins is None else wish.bins
    return _FLOAT * (2 + (0 if kind == "boolean" or wish.pii else bins))
