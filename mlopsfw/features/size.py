"""The memory that the rows of a training take, estimated from the types of their columns and, of texts and lists, from the first rows.

What is read at a time of rows that do not fit depends on the same estimate, so equal rows and an equal `memory` give equal blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from mlopsfw.data.tables import row_order
from mlopsfw.features.fit import DEFAULT_BINS, ColumnWish, choose, is_category, read_wishes
from mlopsfw.features.tables import column_type
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.roles.engine import Resources, machine_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlopsfw.kernel.roles.training import TrainingData, TrainingTask

SHARE: Final = 4
"""The rows of a training may take 1/4 of the memory: preparing them takes up to twice as much, and other processes need some, too."""
_VALUE, _FLOAT = 8, 4  # bytes
_VIEW = 16  # bytes that a text takes beside its characters
_LOOKED = 1024  # rows
_LEAST = 1 << 28  # bytes that a training may hold at a time, at least
_HELD = 3 * row_order.WINDOW  # blocks
_FEWEST = 64  # rows in a block


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
    read = [*chosen.all, task.target]
    texts = [name for name in read if kinds[name] == "string" and name in schema]
    row = row_bytes(train, texts) + _VALUE * (len(read) - len(texts))
    row += sum(_encoded(kinds[name], wishes.get(name, ColumnWish())) for name in chosen.names)
    return rows_fit(train, valid, row, memory)


def matrix_fits(train: TrainingData, valid: TrainingData | None, task: TrainingTask, memory: str) -> bool:
    """Return whether the rows of a training fit into memory as the matrix that trees read. Arguments and errors are those of `plan_fits`."""
    return rows_fit(train, valid, _VALUE * (1 + len(choose(train.schema.names, task).names)), memory)


def rows_fit(train: TrainingData, valid: TrainingData | None, row: float, memory: str) -> bool:
    """Return whether rows of so many bytes each fit into memory. Other arguments and errors are those of `plan_fits`."""
    return (train.rows + (0 if valid is None else valid.rows)) * row <= _allowed(memory)


def row_bytes(data: TrainingData, columns: Sequence[str]) -> float:
    """Return the mean bytes of columns in the first 1,024 rows."""
    first = data.lazy().select(columns).head(_LOOKED).collect() if columns else pl.DataFrame()
    views = sum(_VIEW for dtype in first.dtypes if dtype in (pl.String, pl.Binary))
    return float(first.estimated_size()) / max(1, first.height) + views


class Room(NamedTuple):
    """How much of a table that does not fit into memory is held at a time.

    Args:
        block: Rows in a block.
        sample: Rows that stand for all of them, at most.
    """

    block: int
    sample: int


def room_of(data: TrainingData, columns: Sequence[str], memory: str) -> Room:
    """Return the room for columns of a table: of wide rows few, so that blocks take a half of `memory` and the sample an eighth.

    A training holds three windows of blocks. With less than 256 MiB they are as with 256 MiB: a block of few rows is read slowly.

    Raises:
        UsageError: `memory` is no size.
    """
    allowed, row = max(_allowed(memory), _LEAST), max(1.0, row_bytes(data, columns))
    block = row_order.BLOCK
    while block > _FEWEST and _HELD * block * row > allowed / 2:
        block //= 2
    return Room(block, max(1, int(allowed / 8 / row)))


def _allowed(memory: str) -> int:
    try:
        allowed = Resources(memory=memory).bytes
    except ValueError as error:
        raise UsageError(str(error), hint="Leave it empty for a quarter of this machine's.") from None
    return allowed or machine_memory() // SHARE


def _schema(data: TrainingData) -> dict[str, pl.DataType]:
    frame = pl.from_arrow(data.schema.empty_table())
    return dict(frame.schema) if isinstance(frame, pl.DataFrame) else {}


def _encoded(kind: str, wish: ColumnWish) -> int:
    if is_category(kind, wish):
        return _VALUE
    if kind in ("date", "datetime"):
        return _FLOAT * (6 if kind == "datetime" else 4)
    bins = DEFAULT_BINS if wish.bins is None else wish.bins
    return _FLOAT * (2 + (0 if kind == "boolean" or wish.pii else bins))
