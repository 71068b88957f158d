"""Match the rows of two tables by their keys. Each key becomes a number, and the numbers are matched.

The memory is 8 bytes for each row of each table for the numbers, and as much again for the matching. Rows in the same order at the
beginning and at the end of both tables, as most are in two versions of one dataset, are matched by one comparison.

"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_SMALL = 1 << 32  # rows that Polars numbers with 32 bits
_ODD = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio
_NUMBERS = 1 << 64  # the number of 64-bit values
_BLOCK = 1 << 16  # rows compared at a time
_FEW = 8  # a share of 1 in this many rows is small
_DENSE = 4  # cells per key of a table of all whole numbers in a range


@dataclass(frozen=True, slots=True)
class Pairs:
    """The rows that both tables have.

    Args:
        sizes: How many rows each table has.
        head, tail: How many of the first and of the last rows have the same keys in the same order.
        old: The rows in between: positions in the old table, ascending.
        new: The position of each of them in the new table.
    """

    sizes: tuple[int, int]
    head: int
    tail: int
    old: np.ndarray
    new: np.ndarray

    def __len__(self) -> int:
        return self.head + len(self.old) + self.tail

    def differ(self, old: pl.Series, new: pl.Series) -> np.ndarray:
        """Return, for each pair, whether its values differ. Null equals null, NaN equals NaN."""
        import numpy as np

        (a, b), head, tail = self.sizes, self.head, self.tail
        marks = old[:head].ne_missing(new[:head]), old[a - tail :].ne_missing(new[b - tail :])
        if len(self.old) > b // _FEW:
            new = new.rechunk()  # gathering rows of one chunk takes a fifth of the time
        between = (self._differ(old, new, slice(at, at + _BLOCK)) for at in range(0, len(self.old), _BLOCK))
        return np.concatenate([mark.to_numpy() for mark in (marks[0], *between, marks[1])])

    def _differ(self, old: pl.Series, new: pl.Series, some: slice) -> pl.Series:
        """Return the same for a few pairs between head and tail, so that their values stay in the processor's cache."""
        at = self.old[some]
        rows = old[int(at[0]) : int(at[-1]) + 1].rechunk()
        rows = rows if len(rows) == len(at) else rows.gather(at - at[0])
        return rows.ne_missing(new.gather(self.new[some]))

    def at(self, pairs: np.ndarray) -> np.ndarray:
        """Return the positions in the old table of the pairs with these numbers."""
        import numpy as np

        middle = self.head + len(self.old)
        between = self.old[np.clip(pairs - self.head, 0, max(len(self.old) - 1, 0))] if len(self.old) else pairs
        last = pairs + (self.sizes[0] - len(self))
        return np.where(pairs < self.head, pairs, np.where(pairs < middle, between, last))

    def alone(self, side: int) -> np.ndarray:
        """Return the positions of rows that only one table has: the old table for 0, the new one for 1."""
        import numpy as np

        unmatched = np.ones(self.sizes[side] - self.head - self.tail, bool)
        unmatched[np.subtract((self.old, self.new)[side], self.head, dtype=np.int64)] = False
        return np.flatnonzero(unmatched) + self.head


def codes(sides: Sequence[pl.LazyFrame], key: Sequence[str], seed: int) -> tuple[list[np.ndarray], bool]:
    """Return a number for the key of each row, for both sides, and whether different keys always have different numbers.

    Keys of whole numbers, dates and times are packed, with each column as a digit, if all keys between the least and the
    greatest fit into 64 bits. Other keys are hashed.
    """
    if _is_whole(sides[0], key):
        if len(key) == 1:  # no larger than its numbers, so that it is read once
            sides = [side.select(key).collect(engine="streaming").lazy() for side in sides]
        packed = _packed(sides, key)
        if packed is not None:
            return [number.to_numpy() for number in _read([side.select(packed) for side in sides])], True
    return [hashes(side, key, seed) for side in sides], False


def _is_whole(side: pl.LazyFrame, key: Sequence[str]) -> bool:
    import polars as pl

    kinds = side.select(key).collect_schema().dtypes()
    return all((kind.is_integer() or kind.is_temporal()) and kind not in (pl.Int128, pl.UInt128) for kind in kinds)


def _packed(sides: Sequence[pl.LazyFrame], key: Sequence[str]) -> pl.Expr | None:
    """Return the packed number of a key, or None if it has none."""
    import polars as pl

    number, size = pl.lit(0, pl.UInt64), 1
    for name, low, high, nulls in _ends(sides, key):
        base = high - low + 1 + nulls  # null is a digit, too
        size *= base
        whole = pl.col(name).to_physical()
        bits = whole.cast(pl.Int64).reinterpret(signed=False) if low < 0 else whole.cast(pl.UInt64)
        digit = bits - pl.lit(low % _NUMBERS, pl.UInt64) + pl.lit(int(nulls), pl.UInt64)
        number = number * pl.lit(base % _NUMBERS, pl.UInt64) + digit.fill_null(0)  # modulo 2^64
    return number if size <= _NUMBERS else None


def _ends(sides: Sequence[pl.LazyFrame], key: Sequence[str]) -> Iterator[tuple[str, int, int, bool]]:
    """Yield, for each column of the key, the least and the greatest value, and whether there are nulls."""
    import polars as pl

    whole = pl.col(key).to_physical()
    aggregates = (
        whole.min().name.suffix("_low"),
        whole.max().name.suffix("_high"),
        whole.null_count().name.suffix("_nulls"),
    )
    bounds = pl.concat(pl.collect_all([side.select(aggregates) for side in sides], engine="streaming"))
    for name in key:
        low, high, nulls = (bounds[f"{name}_{figure}"].drop_nulls().to_list() for figure in ("low", "high", "nulls"))
        yield name, min(low, default=0), max(high, default=0), any(nulls)


def hashes(side: pl.LazyFrame, columns: Sequence[str], seed: int) -> np.ndarray:
    """Return a 64-bit number for each row's values in `columns`; equal rows have equal numbers. Null equals null, NaN equals NaN."""
    import polars as pl

    number = pl.lit(0, pl.UInt64)
    for index, name in enumerate(columns):  # a struct's own hash costs half as much again
        number = number * pl.lit(_ODD, pl.UInt64) + pl.col(name).hash(seed * len(columns) + index)
    return next(_read([side.select(number)])).to_numpy()


def _read(frames: Sequence[pl.LazyFrame]) -> Iterator[pl.Series]:
    return (frame.collect(engine="streaming").to_series() for frame in frames)


def unique(*numbers: np.ndarray) -> bool:
    """Return whether no number occurs twice in all of these."""
    import numpy as np

    together = np.concatenate(numbers) if len(numbers) > 1 else numbers[0]
    if bool(np.all(together[1:] > together[:-1])):
        return True
    if _is_dense(together):
        low = together.min()
        cells = np.zeros(int(together.max()) - int(low) + 1, bool)
        cells[together - low] = True
        return int(np.count_nonzero(cells)) == len(together)
    together = np.sort(together)
    return bool(np.all(together[1:] != together[:-1]))


def _is_dense(*numbers: np.ndarray) -> bool:
    """Return whether a table of all whole numbers between the least and the greatest of these would be small compared to them."""
    low, high = min(int(part.min()) for part in numbers), max(int(part.max()) for part in numbers)
    return high - low < _DENSE * sum(map(len, numbers))


def match(old: np.ndarray, new: np.ndarray) -> Pairs:
    """Return the match in `new` of each number in `old`. The numbers of `old` are unique."""
    import numpy as np

    head = _same(old, new)
    tail = _same(old[head:][::-1], new[head:][::-1])
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    matches = _positions(a, b) if len(a) and len(b) else np.full(len(a), -1)
    matched = np.flatnonzero(matches >= 0)
    positions = [
        (side + head).astype(np.uint32 if len(old) + len(new) < _SMALL else np.int64)
        for side in (matched, matches[matched])
    ]
    return Pairs((len(old), len(new)), head, tail, *positions)


def _same(a: np.ndarray, b: np.ndarray) -> int:
    """Return how many of the first numbers of both are equal."""
    shorter = min(len(a), len(b))
    for start in range(0, shorter, _BLOCK):
        differ = a[start : min(start + _BLOCK, shorter)] != b[start : min(start + _BLOCK, shorter)]
        if differ.any():
            return start + int(differ.argmax())
    return shorter


def _positions(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the position of each number of `a` in `b`, or -1."""
    import numpy as np
    import polars as pl

    if _is_dense(a, b):
        low, high = min(a.min(), b.min()), max(a.max(), b.max())
        cells = np.full(int(high) - int(low) + 1, -1, np.int32 if len(b) < 1 << 31 else np.int64)
        cells[b - low] = np.arange(len(b), dtype=cells.dtype)
        positions: np.ndarray = cells[a - low]
        return positions
    sides = [pl.LazyFrame({"code": side}).with_row_index(name) for side, name in ((a, "a"), (b, "b"))]
    pairs = sides[0].join(sides[1], on="code").select("a", "b").collect(engine="streaming")
    matches = np.full(len(a), -1)
    matches[pairs["a"].to_numpy()] = pairs["b"].to_numpy()
    return matches
