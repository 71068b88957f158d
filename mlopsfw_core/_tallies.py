"""Category counts that grow by blocks and stay small: one by one up to a limit, past it by hash cell.

A reference turns into hash cells as `fit_categories` does, so that its counts are those of the whole column. A current column
counts the reference's categories one by one; others too, until there are too many of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._categories import HASH_CELLS, hash_cells
from ._text import category_counts
from .drift._samples import Floats

MAX_CATEGORIES = 1000
"""Categories that a reference counts one by one, and new ones that a current column does."""


@dataclass(frozen=True, slots=True)
class CategoryTally:
    """Rows by category; those in `cells` were too many to name. `known` are the reference's categories, None for a reference.

    Args:
        counts: by category.
        cells: by hash cell, shape (HASH_CELLS,), or None while all are named.
        rows, missing: of the column.
        known: the categories that are always named; None where this is the reference.
    """

    counts: Mapping[str, int]
    cells: Floats | None = None
    rows: int = 0
    missing: int = 0
    known: frozenset[str] | None = None

    def add(self, column: Any) -> CategoryTally:
        """Return the counts with a block more."""
        by_category, nulls = category_counts(column)
        rows = self.rows + sum(by_category.values()) + nulls
        counts, cells = self._joined(by_category)
        return CategoryTally(counts, cells, rows, self.missing + nulls, self.known)

    def _joined(self, by_category: dict[str, int]) -> tuple[Mapping[str, int], Floats | None]:
        names = self.known or frozenset()
        if self.cells is not None:
            named = {name: by_category[name] for name in by_category.keys() & names}
            return _sum(self.counts, named), self.cells + self._unnamed(by_category)
        counts = _sum(self.counts, by_category)
        if len(counts.keys() - names) <= MAX_CATEGORIES:
            return counts, None
        return {name: counts[name] for name in counts.keys() & names}, self._unnamed(counts)

    def _unnamed(self, counts: Mapping[str, int]) -> Floats:
        """Sum what is not named by hash cell; into one cell where the reference's categories are named and these are new to it."""
        if not self.known:
            return hash_cells(counts)
        cells = np.zeros(HASH_CELLS)
        cells[0] = sum(count for name, count in counts.items() if name not in self.known)
        return cells

    def against(self) -> CategoryTally:
        """Return empty counts for the current column that this reference is compared with."""
        if self.cells is not None:
            return CategoryTally({}, np.zeros(HASH_CELLS), known=frozenset())
        return CategoryTally({}, known=frozenset(self.counts))

    def aligned(self, current: CategoryTally) -> tuple[Floats, Floats]:
        """Return both columns' counts over the same cells."""
        names = sorted(self.counts.keys() | current.counts.keys())
        named = [np.array([side.counts.get(name, 0) for name in names], dtype=np.float64) for side in (self, current)]
        cells = [np.zeros(HASH_CELLS) if side.cells is None else side.cells for side in (self, current)]
        return np.concatenate([named[0], cells[0]]), np.concatenate([named[1], cells[1]])


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    total = dict(first)
    for name, count in second.items():
        total[name] = total.get(name, 0) + count
    return total
