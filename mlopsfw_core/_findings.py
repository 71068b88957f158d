"""What is found out about one column, which finding speaks for it, and which columns of a table then count as drifted.

The rule is the same whether the column was sorted in memory or counted from a stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .drift.chi2 import homogeneity_pvalue
from .drift.fdr import benjamini_hochberg

QUESTIONS = 2
"""Values and missing share: what a column's p-value is corrected for."""


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """What became of one column.

    `statistic` names the test that speaks: "ks", "chisquare", "missing", or, with p-value 0, "type" (the column can no longer be
    read as what it was) and "absent". `value` is its statistic. `effect` is on one scale for all, the share of rows that
    would have to change: Kolmogorov's D, total variation beyond sampling, or the change of the missing share.
    """

    column: str
    type: str
    statistic: str
    value: float
    pvalue: float
    effect: float
    threshold: float
    drifted: bool
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One test's answer."""

    statistic: str
    value: float
    pvalue: float
    effect: float


@dataclass(frozen=True, slots=True)
class Presence:
    """How many rows a column has, and how many of them hold no value."""

    rows: int
    missing: int

    @property
    def share(self) -> float:
        """The missing share, 0 without rows."""
        return self.missing / max(self.rows, 1)


def missing_finding(reference: Presence, current: Presence, design: float = 1.0) -> Finding:
    """Test whether the share of missing rows has changed; rows count for 1 / `design` each."""
    if not current.rows or not reference.rows:
        return Finding("missing", 0.0, 1.0, 0.0)
    change = current.share - reference.share
    before, after = (
        np.array([side.missing, side.rows - side.missing], dtype=np.float64) for side in (reference, current)
    )
    pvalue = homogeneity_pvalue(before / design, after / design) if current.missing + reference.missing else 1.0
    return Finding("missing", change, pvalue, abs(change))


def column_drift(  # noqa: PLR0917 - what is known of a column, named where it is called
    name: str,
    kind: str,
    values: Finding,
    reference: Presence,
    current: Presence,
    threshold: float,
    details: Mapping[str, Any],
    design: float = 1.0,
) -> ColumnDrift:
    """Put both questions' findings together, leaving `drifted` to who knows how many other columns there are."""
    missing = missing_finding(reference, current, design)
    speaks = _speaking([values, missing], threshold)
    tests = {finding.statistic: {"value": finding.value, "pvalue": finding.pvalue} for finding in (values, missing)}
    shared = {
        "rows": current.rows,
        "design_effect": design,
        "missing_share": current.share,
        "reference_missing_share": reference.share,
        "tests": tests,
    }
    return ColumnDrift(
        name,
        kind,
        speaks.statistic,
        speaks.value,
        min(1.0, QUESTIONS * speaks.pvalue),
        speaks.effect,
        threshold,
        drifted=False,
        details={**details, **shared},
    )


def _speaking(findings: list[Finding], threshold: float) -> Finding:
    """Choose the finding to report: with a sufficient effect if there is one, then the surest, then the largest."""
    return min(findings, key=lambda finding: (finding.effect < threshold, finding.pvalue, -finding.effect))


def lost_column(name: str, kind: str, statistic: str, threshold: float, reason: str) -> ColumnDrift:
    """Report a column that is gone ("absent"), or cannot be read any more ("type"): no test is needed."""
    return ColumnDrift(name, kind, statistic, 1.0, 0.0, 1.0, threshold, drifted=True, details={"reason": reason})


def check_settings(alpha: object, *thresholds: object) -> None:
    """Raise TypeError or ValueError for a level that is not in (0, 1), or a threshold that is not in [0, 1]."""
    for what, value in (("alpha", alpha), *(("a threshold", each) for each in thresholds)):
        if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
            raise TypeError(f"{what} is a number, not {type(value).__name__}")
    if not 0.0 < float(alpha) < 1.0:  # type: ignore[arg-type] # a number, as was checked
        raise ValueError(f"alpha is a level in (0, 1), not {alpha}")
    for value in thresholds:
        if not 0.0 <= float(value) <= 1.0:  # type: ignore[arg-type] # the same
            raise ValueError(f"a threshold is a share of rows in [0, 1], not {value}")


def decide(drifts: list[ColumnDrift], alpha: float) -> list[ColumnDrift]:
    """Set `drifted` by adjusted p-value and effect; most drifted first, ties by name."""
    adjusted = benjamini_hochberg([drift.pvalue for drift in drifts])
    decided = [
        replace(
            drift,
            drifted=bool(q <= alpha and drift.effect >= drift.threshold),
            details={**drift.details, "pvalue_adjusted": float(q)},
        )
        for drift, q in zip(drifts, adjusted, strict=True)
    ]
    return sorted(decided, key=lambda drift: (not drift.drifted, -drift.effect, drift.pvalue, drift.column))
