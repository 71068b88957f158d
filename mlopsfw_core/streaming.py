"""Compare tables that are read one block at a time, twice: once to choose where to count, once to count.

Nothing is estimated. Both samples' distribution functions are counted exactly at common stops (quantiles of a thinned sample of both),
so the distance at the stops is a lower bound of Kolmogorov's D, and what lies between two stops bounds how much larger D can be
(`details["error"]`). Categories, nulls and NaN are counted as in memory. Memory does not grow with the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._buffers import column_kind, table_columns
from ._categories import compare_counts
from ._findings import ColumnDrift, Finding, Presence, check_settings, column_drift, decide, lost_column
from ._numbers import FEW_VALUES
from ._stops import NumberTally, Thinned, ks_bounds, stops_of
from ._tallies import CategoryTally
from ._threads import map_columns
from .drift.ks import ks_pvalue

Tally = NumberTally | CategoryTally
Blocks = Callable[[], Iterable[Any]]
"""Gives a table's blocks anew at each call: mappings of columns, or anything that exports Arrow record batches."""


@dataclass(slots=True)
class _Side:
    """What is known of one table: what its columns' rows look like, what they count to, and which could not be read."""

    samples: dict[str, Thinned] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamedDrift:
    """The comparison, with what pictures need: thinned rows and counts of both tables, by column."""

    drifts: list[ColumnDrift]
    rows: tuple[int, int]
    samples: tuple[Mapping[str, Thinned], Mapping[str, Thinned]]
    tallies: tuple[Mapping[str, Tally], Mapping[str, Tally]]


def compare_streams(reference: Blocks, current: Blocks, alpha: float = 0.05, threshold: float = 0.05) -> StreamedDrift:
    """Compare two tables of any size, in memory that does not grow with them: the rule of `compare_table`, on counts.

    Args:
        reference: gives the reference's blocks; called twice.
        current: gives the current table's blocks, called twice. Columns that the reference lacks are left out.
        alpha: the false discovery rate over the columns.
        threshold: the least effect that counts, as a share of rows.

    Returns:
        The columns, most drifted first. `value` and `effect` of a numeric column are lower bounds of D and its p-value an upper
        bound; `details["error"]` is how much larger D can be, 0 where every value was counted. Which rows are in which block
        changes nothing.
    """
    check_settings(alpha, threshold)
    for what, blocks in (("reference", reference), ("current", current)):
        if not callable(blocks):
            raise TypeError(
                f"{what} is a function that returns the table's blocks anew, not a {type(blocks).__name__}; "
                "to compare two tables in memory, call compare_samples(reference, current)"
            )
    first, second = _Side(), _Side()
    kinds: dict[str, str] = {}
    for block in map(table_columns, reference()):
        kinds = kinds or {name: column_kind(column) for name, column in block.items()}
        _each(first, block, [name for name in kinds if kinds[name] == "numeric"], _thin)
    for block in map(table_columns, current()):
        _each(second, block, [name for name in first.samples if name in block], _thin)
    for name, kind in kinds.items():
        sides = [side.samples[name] for side in (first, second) if name in side.samples]
        first.tallies[name] = NumberTally.empty(stops_of(sides)) if kind == "numeric" else CategoryTally({})
    rows = [_count(first, reference)]
    second.tallies = {name: tally.against() for name, tally in first.tallies.items()}
    rows.append(_count(second, current))
    drifts = decide([_compare(name, first, second, threshold) for name in kinds], alpha)
    return StreamedDrift(drifts, (rows[0], rows[1]), (first.samples, second.samples), (first.tallies, second.tallies))


def _each(side: _Side, block: Mapping[str, Any], names: list[str], work: Callable[[_Side, str, Any], None]) -> None:
    """Do the work for each named column of a block, in parallel; a column that cannot be read is noted and left out from then on."""

    def visit(name: str) -> None:
        try:
            work(side, name, block[name])
        except TypeError as error:
            side.unread[name] = str(error)

    map_columns(visit, [name for name in names if name not in side.unread], worthwhile=True)


def _thin(side: _Side, name: str, column: Any) -> None:
    side.samples.setdefault(name, Thinned()).add(column)


def _tally(side: _Side, name: str, column: Any) -> None:
    side.tallies[name] = side.tallies[name].add(column)


def _count(side: _Side, blocks: Blocks) -> int:
    """Count all columns of a table; return its rows. A column that no block has is dropped."""
    rows, groups = 0, set()
    for block in map(table_columns, blocks()):
        present = [name for name in side.tallies if name in block]
        _each(side, block, present, _tally)
        groups.update(present)
        rows += max(map(len, block.values()), default=0)
    side.tallies = {name: tally for name, tally in side.tallies.items() if name in groups or not rows}
    return rows


def _compare(name: str, first: _Side, second: _Side, threshold: float) -> ColumnDrift:
    reference, current = first.tallies[name], second.tallies.get(name)
    kind = "numeric" if isinstance(reference, NumberTally) else "categorical"
    if name in second.unread:
        return lost_column(name, kind, "type", threshold, second.unread[name])
    if current is None:
        return lost_column(name, kind, "absent", threshold, f"the table has no column {name!r}")
    if isinstance(reference, NumberTally) and isinstance(current, NumberTally):
        finding, error = _number_finding(reference, current)
    elif isinstance(reference, CategoryTally) and isinstance(current, CategoryTally):
        finding, error = _category_finding(reference, current), 0.0
    before, after = Presence(reference.rows, reference.missing), Presence(current.rows, current.missing)
    return column_drift(name, kind, finding, before, after, threshold, {"error": error})


def _number_finding(reference: NumberTally, current: NumberTally) -> tuple[Finding, float]:
    """Return the finding, and how much larger the distance can be."""
    cells = reference.cells
    unresolved = cells[1::2].any() or cells[0] or cells[-1]  # rows between stops, or infinite
    if reference.values and not unresolved and np.count_nonzero(cells) <= FEW_VALUES:
        tested = compare_counts(cells.astype(np.float64), current.cells.astype(np.float64))
        return Finding("chisquare", tested.statistic, tested.pvalue, tested.effect), 0.0
    n, m = reference.values, current.values
    if not n or not m:
        return Finding("ks", 0.0, 1.0, 0.0), 0.0
    low, high = ks_bounds(reference, current)
    distance = low / (n * m)
    return Finding("ks", distance, ks_pvalue(low, n, m), distance), (high - low) / (n * m)


def _category_finding(reference: CategoryTally, current: CategoryTally) -> Finding:
    tested = compare_counts(*reference.aligned(current))
    return Finding("chisquare", tested.statistic, tested.pvalue, tested.effect)
