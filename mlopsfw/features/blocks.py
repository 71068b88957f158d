"""`Blocks`: the rows of a training that does not fit into memory, read block by block in a random order, ahead of their use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
import polars as pl

from mlopsfw.data.tables import row_order
from mlopsfw.data.tables.prefetch import in_order
from mlopsfw.features.labels import with_label

if TYPE_CHECKING:
    from pathlib import Path

    from mlopsfw.data.tables.handle import TableHandle
    from mlopsfw.data.tables.row_order import Window
    from mlopsfw.kernel.roles.training import TrainingData

_GOLDEN, _MIX = 0x9E3779B97F4A7C15, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_BITS = 64
_PIECE = 1 << 26  # bytes


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows of a table belong to a part of it: those with a label, and where some are held out, these or the others.

    Args:
        target: The label's column.
        which: `all`, `learned` for those that are not held out, or `held`.
        share: The share of rows to hold out, by chance.
        seed: Seeds the choice.
        time: Holds out rows by this column instead, those after `until`.
        until: The last time of a row to learn from, as Polars keeps it.
    """

    target: str
    which: Literal["all", "learned", "held"] = "all"
    share: float = 0.0
    seed: int = 0
    time: str = ""
    until: int | float | str | None = None

    @property
    def reads(self) -> list[str]:
        """The columns that decide."""
        return [self.target, *filter(None, [self.time])]

    def mask(self, frame: pl.DataFrame, positions: np.ndarray) -> pl.Series:
        """Return which rows belong.

        Args:
            frame: Rows.
            positions: int64, the position of each in the table.
        """
        labelled = frame.select(with_label(self.target, frame.schema)).to_series()
        if self.which == "all":
            return labelled
        return labelled & (self.held(frame, positions) == (self.which == "held"))

    def held(self, frame: pl.DataFrame, positions: np.ndarray) -> pl.Series:
        """Return which rows are held out, whether they have a label or not. Takes what `mask` does."""
        if self.time:
            return (frame[self.time].to_physical() > self.until).fill_null(value=False)
        chance = _random_bits(positions.astype(np.uint64), self.seed)
        return pl.Series(chance < np.uint64(self.share * 2.0**_BITS))


def _random_bits(rows: np.ndarray, seed: int) -> np.ndarray:
    """Return 64 random bits for each row: SplitMix64 (Steele, Lea & Flood, 2014) of its position and the seed."""
    start = np.random.PCG64(seed % (1 << _BITS)).random_raw()
    bits: np.ndarray = (rows + np.uint64(1)) * np.uint64(_GOLDEN) + np.uint64(start)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(_MIX[0])
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(_MIX[1])
    bits ^= bits >> np.uint64(31)
    return bits


class Blocks:
    """The rows of a part of a table. Memory holds at most three windows of four blocks.

    Args:
        data: The table.
        columns: The columns to read.
        part: Which rows.
        sizes: How many of them each block has.
        block: Rows of the table in a block.
    """

    def __init__(
        self, data: TrainingData, columns: Sequence[str], part: Part, sizes: tuple[int, ...], block: int
    ) -> None:
        self.data, self.columns, self.part, self.sizes, self.rows_of_block = data, tuple(columns), part, sizes, block
        self._read_columns = tuple(dict.fromkeys([*columns, *part.reads]))

    def __len__(self) -> int:
        return sum(self.sizes)

    def only(self, columns: Sequence[str]) -> Blocks:
        """Return other columns of the same rows."""
        return Blocks(self.data, columns, self.part, self.sizes, self.rows_of_block)

    def in_order(self, shard: tuple[int, int] = (0, 1)) -> Iterator[pl.DataFrame]:
        """Yield the rows in the order of the table."""
        return self._windows(row_order.Order(sizes=self.sizes, seed=None, epoch=0, shard=shard), 0)

    def shuffled(
        self, seed: int, epoch: int, shard: tuple[int, int] = (0, 1), start: int = 0
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of one epoch: blocks in random order, and rows shuffled in windows of four blocks.

        Args:
            seed: Seeds the order.
            epoch: From 0; each has an order of its own.
            shard: (rank, of): one of `of` disjoint parts of equal length. Rows that cannot be divided are left out.
            start: The first row to yield. The windows before it are not read.
        """
        return self._windows(row_order.Order(sizes=self.sizes, seed=seed, epoch=epoch, shard=shard), start)

    def _windows(self, order: row_order.Order, skipped: int) -> Iterator[pl.DataFrame]:
        windows = order.windows()
        for window in windows:
            if skipped < window.rows:
                yield self._read(window)[skipped:]
                break
            skipped -= window.rows
        yield from in_order(self._read, windows, threads=1)

    def _read(self, window: Window) -> pl.DataFrame:
        rows = pl.concat(self.block(number)[start:stop] for number, start, stop in window.ranges)
        order = window.permutation()
        return rows if order is None else rows[order]

    def block(self, number: int) -> pl.DataFrame:
        """Return the rows of one block."""
        first = number * self.rows_of_block
        frame = table_of(self.data).part(self._read_columns, first, self.rows_of_block)
        mask = self.part.mask(frame, np.arange(first, first + frame.height))
        return frame.filter(mask).select(self.columns)


def table_of(data: TrainingData) -> TableHandle:
    """Return a table, of which parts can be read."""
    from mlopsfw.data.tables.handle import TableHandle

    return data if isinstance(data, TableHandle) else TableHandle(data.lazy(), data.rows, data.digest)


def write_handle(data: TrainingData, file: Path) -> None:
    """Write what another process needs to read the same rows; of a table in files, where they lie, and no row."""
    from mlopsfw.data.tables.handle import TableHandle

    if not isinstance(data, TableHandle):
        copy = file.with_suffix(".arrow")
        data.lazy().sink_ipc(copy, compression="zstd")
        data = TableHandle(pl.scan_ipc(copy), data.rows, data.digest)
    file.write_bytes(data.to_bytes())


def write_copy(data: TrainingData, columns: Sequence[str], block: int, file: Path) -> None:
    """Write the rows for processes that cannot read the table's files: Parquet beside `file`, some 64 MiB of columns in each."""
    waiting: list[pl.DataFrame] = []
    number = 0
    for _, frame in all_blocks(data, columns, block):
        waiting.append(frame)
        if sum(each.estimated_size() for each in waiting) >= _PIECE:
            _write_piece(waiting, file, number, block)
            waiting, number = [], number + 1
    if waiting:
        _write_piece(waiting, file, number, block)


def _write_piece(frames: list[pl.DataFrame], file: Path, number: int, block: int) -> None:
    piece = file.with_name(f"{file.stem}-{number:06d}.parquet")
    pl.concat(frames).write_parquet(piece, compression_level=1, row_group_size=block)


def read_handle(file: Path) -> TrainingData:
    """Return the handle that `write_handle` wrote, or one of the rows that `write_copy` did."""
    from mlopsfw.data.tables.handle import TableHandle

    if file.exists():
        return TableHandle.from_bytes(file.read_bytes())
    rows = pl.scan_parquet(sorted(file.parent.glob(f"{file.stem}-*.parquet")))
    return TableHandle(rows, rows.select(pl.len()).collect().item(), "")


def all_blocks(data: TrainingData, columns: Sequence[str], block: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield all rows of a table in order, `block` at a time, with the position of the first. A block is read while another is used."""
    table, starts = table_of(data), range(0, data.rows, block)
    frames = in_order(lambda start: table.part(columns, start, block), starts, threads=1)
    yield from zip(starts, frames, strict=True)
