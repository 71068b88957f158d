"""Compare two versions row by row, with columns that identify a row. Memory holds two columns at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from mlopsfw.data.datasets.comparison.alignment import Pairs, codes, match, unique
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_SHOWN = 5  # example keys of each kind
_BESIDE = 2  # columns read and compared at a time


class Sides(NamedTuple):
    """The rows of two versions.

    Args:
        old: The rows in files that only the old version has.
        new: The rows in files that only the new version has.
        shared: The rows in files that both have, or None. They are equal, so only their keys are read.
    """

    old: pl.LazyFrame
    new: pl.LazyFrame
    shared: pl.LazyFrame | None = None


def by_key(sides: Sides, key: Sequence[str], values: Sequence[str], refs: tuple[str, str]) -> dict[str, Any]:
    """Return the fields of a `Difference` that compare rows by key.

    Args:
        sides: The rows.
        key: Columns of both versions that identify a row; nulls equal nulls.
        values: Columns to compare.
        refs: The versions, for errors.

    Raises:
        DataError: Rows of one version share a key.
    """
    pairs = _pairs(sides, key, refs)
    groups = {"added": (sides.new, pairs.alone(1)), "removed": (sides.old, pairs.alone(0))}
    differ, counted = _compared(pairs, sides, values)
    groups["changed"] = (sides.old, pairs.at(differ))
    difference: dict[str, Any] = {label: len(positions) for label, (_, positions) in groups.items()}
    examples = {
        label: _keys(side, key, positions[:_SHOWN]) for label, (side, positions) in groups.items() if len(positions)
    }
    return difference | {"examples": examples, "changed_columns": counted}


def _pairs(sides: Sides, key: Sequence[str], refs: tuple[str, str]) -> Pairs:
    """Match the rows by numbers for their keys. If two keys have the same number, use other numbers."""
    present = [side for side in sides if side is not None]
    for seed in itertools.count():
        (old, new, *shared), exact = codes(present, key, seed)
        if not (unique(old, *shared) and unique(new, *shared)):
            _check_unique(sides, key, refs)
            continue
        pairs = match(old, new)
        if exact or not any(_differ(pairs, sides, name).any() for name in key):
            return pairs
    raise AssertionError  # seeds do not end


def _check_unique(sides: Sides, key: Sequence[str], refs: tuple[str, str]) -> None:
    """Raise `DataError` if rows of one version share a key."""
    import polars as pl

    for side, ref in zip((sides.old, sides.new), refs, strict=True):
        whole = [frame.select(key) for frame in (sides.shared, side) if frame is not None]
        repeated = pl.concat(whole).group_by(key).len().filter(pl.col("len") > 1).head(1).collect(engine="streaming")
        if repeated.height:
            values = {name: repeated[name][0] for name in key}
            raise DataError(f"{ref}: {repeated['len'][0]} rows share the key {values}", hint="Name more key columns.")


def _compared(pairs: Pairs, sides: Sides, values: Sequence[str]) -> tuple[np.ndarray, dict[str, int]]:
    """Return the numbers of the pairs that differ in any column, and the number of differences in each column."""
    import numpy as np

    differ, counts = np.zeros(len(pairs), bool), {}
    with ThreadPoolExecutor(_BESIDE) as pool:
        for name, marks in zip(values, pool.map(partial(_differ, pairs, sides), values), strict=True):
            if count := int(np.count_nonzero(marks)):
                counts[name] = count
                differ |= marks
    return np.flatnonzero(differ), counts


def _differ(pairs: Pairs, sides: Sides, name: str) -> np.ndarray:
    import polars as pl

    columns = pl.collect_all([side.select(name) for side in (sides.old, sides.new)], engine="streaming")
    return pairs.differ(
        columns.pop(0).to_series(), columns.pop().to_series()
    )  # nothing else holds it: memory is two columns


def _keys(side: pl.LazyFrame, key: Sequence[str], positions: np.ndarray) -> list[dict[str, Any]]:
    import polars as pl

    rows = [side.select(key).slice(int(position), 1) for position in positions]
    return [row.to_dicts()[0] for row in pl.collect_all(rows, engine="streaming")]
