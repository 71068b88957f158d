"""Evidently 0.7's choice of statistic and threshold for each column, for a team that compares before it moves.

Its errors are not copied; `DIFFERENCES` says each. There is no correction over columns and no effect floor, as there: a wide table flags
something by chance alone, and short windows exceed a Wasserstein distance of .1 without any drift. `compare_table` has neither fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ._buffers import column_kind, table_columns
from ._categories import compare_counts
from ._findings import ColumnDrift, Finding, Presence, decide, lost_column, missing_finding
from ._numbers import FEW_VALUES, few_levels, finite_part, moments, sort_column
from ._text import category_counts
from ._threads import map_columns
from .comparison import MANY_ROWS
from .drift._samples import Floats
from .drift.jensenshannon import jensenshannon
from .drift.ks import ks_pvalue, sorted_extremes
from .drift.proportions import proportions_ztest
from .drift.wasserstein import sorted_distance

SMALL = 1000
"""Reference rows with a value up to which a test is chosen, and past which a distance."""

BY_PVALUE, BY_DISTANCE = 0.05, 0.1
"""Thresholds: a p-value below the first, a distance at or above the second."""

DRIFT_SHARE = 0.5
"""The share of drifted columns at which the table has drifted."""

LEAST_SPREAD = 0.001
"""What the reference's standard deviation counts as at least, under a Wasserstein distance."""

DIFFERENCES = (
    "chisquare is the test of homogeneity, with rare categories pooled: Evidently's takes the reference as exact and rejects too often",
    "a change of the share of missing and infinite values is drift (statistic `missing`, by mlopsfw's own rule): Evidently leaves both out",
    "a column that is empty, absent or of another type is answered, where Evidently stops",
    "unsigned integers and times are compared as numbers, where Evidently fails or leaves them out",
    "text is compared as categories: there is no domain classifier",
)


def compare_as_evidently(reference: Any, current: Any, columns: Sequence[str] | None = None) -> list[ColumnDrift]:
    """Compare two tables column by column with the statistic and threshold that Evidently 0.7 would choose, most drifted first.

    Args:
        reference: a table, as `compare_table` takes it.
        current: the same.
        columns: which columns of the reference; all where None.

    Returns:
        `value` is Evidently's score: the p-value of "ks", "chisquare" and "z", the distance of "wasserstein" (over the
        reference's standard deviation) and "jensenshannon" (base e). `pvalue` is NaN for a distance. `effect` orders the columns: D, total
        variation, a difference of shares, or the distance. Infinities are left out with the missing rows, as there.
    """
    before, after = table_columns(reference), table_columns(current)
    names = list(before if columns is None else columns)
    rows = max((len(before[name]) for name in names), default=0)

    def both(name: str) -> tuple[ColumnDrift, ColumnDrift]:
        return _column(name, before[name], after.get(name))

    pairs = map_columns(both, names, worthwhile=rows >= MANY_ROWS)
    missing = {
        column.column: column for column in decide([presence_finding for _, presence_finding in pairs], BY_PVALUE)
    }
    decided = [
        missing[column.column] if missing[column.column].drifted and not column.drifted else column
        for column, _ in pairs
    ]
    return sorted(decided, key=lambda column: (not column.drifted, -column.effect, column.column))


def _column(name: str, before: Any, after: Any) -> tuple[ColumnDrift, ColumnDrift]:
    """Return Evidently's answer for a column, and that on its missing rows."""
    try:
        kind = column_kind(before)
    except TypeError as error:
        raise TypeError(f"column {name!r}: {error}") from None
    if after is None:
        return _both(lost_column(name, kind, "absent", BY_PVALUE, f"the table has no column {name!r}"))
    try:
        finding, drifted, presence = (_numbers if kind == "numeric" else _categories)(before, after)
    except TypeError as error:
        return _both(lost_column(name, kind, "type", BY_PVALUE, str(error)))
    threshold = BY_DISTANCE if np.isnan(finding.pvalue) else BY_PVALUE
    missing = missing_finding(*presence)
    drift = ColumnDrift(
        name, kind, finding.statistic, finding.value, finding.pvalue, finding.effect, threshold, drifted=drifted
    )
    return drift, replace(
        drift,
        statistic="missing",
        value=missing.value,
        pvalue=missing.pvalue,
        effect=missing.effect,
        threshold=BY_PVALUE,
    )


def _both(missing: ColumnDrift) -> tuple[ColumnDrift, ColumnDrift]:
    return missing, replace(missing, pvalue=1.0, drifted=False)


Answer = tuple[Finding, bool, tuple[Presence, Presence]]


def _numbers(before: Any, after: Any) -> Answer:
    sides = sort_column(before), sort_column(after)
    x, y = (finite_part(side.values) for side in sides)
    totals = [side.values.size + side.nulls + side.nan for side in sides]
    presence = [Presence(total, total - kept.size) for total, kept in zip(totals, (x, y), strict=True)]
    levels = few_levels(x), few_levels(y)
    if not x.size or not y.size:
        finding, drifted = Finding("ks", 1.0, 1.0, 0.0), False
    elif (
        levels[0] and levels[1] and len(pooled := sorted(dict(levels[0]).keys() | dict(levels[1]).keys())) <= FEW_VALUES
    ):
        counts = [np.array([dict(side).get(value, 0) for value in pooled], dtype=np.float64) for side in levels if side]
        finding, drifted = _counted(counts[0], counts[1])
    elif x.size <= SMALL:
        finding, drifted = _ks(x, y)
    else:
        finding, drifted = _wasserstein(x, y)
    return finding, drifted, (presence[0], presence[1])


def _ks(x: Floats, y: Floats) -> tuple[Finding, bool]:
    units = max(sorted_extremes(x, y)[:2])
    pvalue = ks_pvalue(units, x.size, y.size)
    return Finding("ks", pvalue, pvalue, units / (x.size * y.size)), pvalue <= BY_PVALUE


def _wasserstein(x: Floats, y: Floats) -> tuple[Finding, bool]:
    spread = moments(x)[1]
    value = float(sorted_distance(x, y)) / max(np.inf if spread is None else spread, LEAST_SPREAD)
    return Finding("wasserstein", value, float("nan"), value), value >= BY_DISTANCE


def _categories(before: Any, after: Any) -> Answer:
    (first, first_missing), (second, second_missing) = category_counts(before), category_counts(after)
    names = sorted(first.keys() | second.keys())
    a, b = (np.array([side.get(name, 0) for name in names], dtype=np.float64) for side in (first, second))
    presence = (
        Presence(int(a.sum()) + first_missing, first_missing),
        Presence(int(b.sum()) + second_missing, second_missing),
    )
    if not a.sum() or not b.sum():
        return Finding("chisquare", 1.0, 1.0, 0.0), False, presence
    finding, drifted = _counted(a, b)
    return finding, drifted, presence


def _counted(a: Floats, b: Floats) -> tuple[Finding, bool]:
    """Choose by the reference's rows and the number of values: a z-test (at most 2), chi-squared, or Jensen-Shannon."""
    if a.sum() > SMALL:
        value = jensenshannon(a, b)
        return Finding("jensenshannon", value, float("nan"), value), value >= BY_DISTANCE
    effect = float(np.abs(a / a.sum() - b / b.sum()).sum()) / 2
    if a.size <= 2:  # noqa: PLR2004 - two values make one proportion
        pvalue = proportions_ztest((int(a[0]), int(b[0])), (int(a.sum()), int(b.sum()))).pvalue
        return Finding("z", pvalue, pvalue, effect), pvalue < BY_PVALUE
    pvalue = compare_counts(a, b).pvalue
    return Finding("chisquare", pvalue, pvalue, effect), pvalue < BY_PVALUE
