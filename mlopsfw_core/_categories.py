"""What is kept of a reference's categorical column, and how a current column compares with it.

Up to a limit each category keeps its count. Past it the categories are told apart by a hash alone: which ones share a cell then
does not depend on the counts. (Keeping the "top" ones of the reference would pick those that sampling happened to favour,
and see them fall in every later sample.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .drift._samples import Floats
from .drift.chi2 import chi2_2samp, homogeneity_pvalue, pool_rare
from .hashing import hash_indices

HASH_CELLS = 64
"""Cells in which a column of too many categories is compared."""

MIN_EXPECTED = 5.0
"""Cochran's rule: what a cell must expect in the smaller sample to stand alone."""


@dataclass(frozen=True, slots=True)
class Categories:
    """A categorical reference column: rows by category where they are few, by hash cell where they are many."""

    rows: int
    distinct: int
    counts: Mapping[str, int] | None
    cells: tuple[int, ...] | None


def fit_categories(counts: Mapping[str, int], max_categories: int) -> Categories:
    """Reduce a column's category counts to what is kept of them."""
    rows = sum(counts.values())
    if len(counts) <= max_categories:
        return Categories(rows, len(counts), dict(sorted(counts.items())), None)
    return Categories(rows, len(counts), None, tuple(int(count) for count in hash_cells(counts)))


def hash_cells(counts: Mapping[str, int]) -> Floats:
    """Sum counts by MurmurHash3 cell."""
    cell = hash_indices(list(counts), HASH_CELLS + 1) - 1
    weights = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
    return np.bincount(cell, weights, minlength=HASH_CELLS).astype(np.float64)


def align(reference: Categories, current: Mapping[str, int]) -> tuple[Floats, Floats]:
    """Return the two samples' counts over the same cells: the union of the categories, or the hash cells."""
    if reference.counts is None:
        return np.array(reference.cells, dtype=np.float64), hash_cells(current)
    names = sorted(reference.counts.keys() | current.keys())
    return (
        np.array([reference.counts.get(name, 0) for name in names], dtype=np.float64),
        np.array([current.get(name, 0) for name in names], dtype=np.float64),
    )


@dataclass(frozen=True, slots=True)
class Homogeneity:
    """A test of homogeneity on pooled cells, with its effect: the share of rows that changed cell."""

    statistic: float
    pvalue: float
    effect: float
    cells: int


def compare_counts(first: Floats, second: Floats, design: float = 1.0) -> Homogeneity:
    """Test whether two samples fall into cells alike; rare cells are pooled by the sum of both. Rows count for 1 / `design` each.

    The effect is the total variation distance less what sampling alone puts there (see `expected_variation`), at least 0.
    """
    if not first.sum() or not second.sum():
        return Homogeneity(0.0, 1.0, 0.0, 0)
    a, b = pool_rare(first / design, second / design, MIN_EXPECTED)
    used = a + b > 0
    a, b = a[used], b[used]
    distance = float(np.abs(a / a.sum() - b / b.sum()).sum()) / 2
    effect = max(0.0, distance - expected_variation(a, b)) if distance < 1 else 1.0
    pvalue = homogeneity_pvalue(a, b) if a.size > 1 else 1.0
    return Homogeneity(chi2_2samp(a, b).statistic, pvalue, effect, a.size)


def expected_variation(first: Floats, second: Floats) -> float:
    """Return the mean total variation distance of two samples from their pooled shares, by the normal approximation.

    A difference of shares has variance p (1 - p) (1/n + 1/m), and a normal variable's mean absolute value is sqrt(2/pi) of its
    deviation.
    """
    n, m = first.sum(), second.sum()
    p = (first + second) / (n + m)
    return float(np.sqrt(2 / np.pi * p * (1 - p) * (1 / n + 1 / m)).sum()) / 2


def category_details(reference: Categories, current: Mapping[str, int]) -> dict[str, object]:
    """Name the categories whose shares moved most, and say what share of the current rows the reference never saw."""
    rows = sum(current.values())
    if reference.counts is None or not rows or not reference.rows:
        return {"categories": reference.distinct}
    unseen = sum(count for name, count in current.items() if name not in reference.counts)
    moved = sorted(
        (
            (name, reference.counts.get(name, 0) / reference.rows, current.get(name, 0) / rows)
            for name in reference.counts.keys() | current.keys()
        ),
        key=lambda move: (-abs(move[2] - move[1]), move[0]),
    )
    return {
        "categories": reference.distinct,
        "unseen_share": unseen / rows,
        "moved": [{"category": name, "reference": before, "current": after} for name, before, after in moved[:5]],
    }
