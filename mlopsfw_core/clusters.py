"""How much clustering costs: rows of one group (flights of one day) resemble each other and count for less than their number.

The design effect is the variance of a share under clustering over its variance if rows were independent (Kish 1965; Cochran,
Sampling Techniques, 3rd ed., chapter 9). Tests in `comparison` divide row counts by it, which for chi-squared is the
first-order correction of Rao and Scott (1981, JASA 76:221-230).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._buffers import numeric_rows
from ._numbers import Numbers
from .drift._samples import Floats
from .prepared import Reference

FEWEST_GROUPS = 5
"""Below this many groups the variance between them is not an estimate of anything."""

_CUTS = 9


def design_effect(reference: Reference, column: Any, groups: NDArray[np.int64]) -> float:
    """Estimate the design effect of one column.

    Args:
        reference: the column's reference; numbers are cut at its deciles.
        column: the current rows, as for `compare_table`.
        groups: shape (rows,), the group of each row, numbered from 0.

    Returns:
        At least 1. For numbers, the largest over the cuts, since Kolmogorov's test looks at all of them; for categories, the mean that
        Rao and Scott prescribe, weighted by 1 - share. 1 with fewer than 5 groups or fewer than two rows a group, and for a column
        that can no longer be read as what its reference is.
    """
    used = np.unique(groups).size
    if used < FEWEST_GROUPS or groups.size <= used:
        return 1.0
    content = reference.content
    try:
        if isinstance(content, Numbers):
            return max(1.0, float(_by_cut(content, column, groups).max(initial=1.0)))
        effects, weights = _by_category(column, groups)
    except TypeError:
        return 1.0
    return max(1.0, float(np.average(effects, weights=weights))) if effects.size else 1.0


def _by_cut(content: Numbers, column: Any, groups: NDArray[np.int64]) -> Floats:
    values, valid = numeric_rows(column)
    present = ~np.isnan(values) if valid is None else valid & ~np.isnan(values)
    if not content.points.size or not present.any():
        return np.empty(0)
    cuts = np.unique(np.quantile(content.points, np.linspace(0, 1, _CUTS + 2)[1:-1]))
    below = values[present, None] <= cuts
    return _share_effects(below, groups[present])[0]


def _by_category(column: Any, groups: NDArray[np.int64]) -> tuple[Floats, Floats]:
    names = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    named = [row for row, name in enumerate(names) if name is not None]
    _, codes = np.unique([str(names[row]) for row in named], return_inverse=True)
    group_codes = groups[np.array(named, dtype=np.int64)] if named else groups[:0]
    if not codes.size:
        return np.empty(0), np.empty(0)
    return _coded_effects(codes, group_codes)


def _coded_effects(codes: NDArray[Any], groups: NDArray[np.int64]) -> tuple[Floats, Floats]:
    table = np.zeros((int(groups.max()) + 1, int(codes.max()) + 1))
    np.add.at(table, (groups, codes), 1.0)
    return _effects(table, table.sum(axis=1))


def _share_effects(indicators: NDArray[np.bool_], groups: NDArray[np.int64]) -> tuple[Floats, Floats]:
    size = int(groups.max()) + 1
    weights = indicators.T.astype(np.float64)
    table = np.stack([np.bincount(groups, each, size) for each in weights], axis=1).astype(np.float64)
    return _effects(table, np.bincount(groups, minlength=size).astype(np.float64))


def _effects(table: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """From counts by group and cell, return each cell's design effect, and 1 - share as its weight."""
    total, used = rows.sum(), int((rows > 0).sum())
    shares = table.sum(axis=0) / total
    between = ((table - rows[:, None] * shares) ** 2).sum(axis=0) * used / (used - 1) / total**2
    within = shares * (1 - shares) / total
    varied = within > 0
    return between[varied] / within[varied], (1 - shares)[varied]
