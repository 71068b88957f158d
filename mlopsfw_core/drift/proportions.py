"""Tests of two proportions: Fisher's exact test and the pooled z-test."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal

from ._samples import Tested
from ._special import hypergeometric_tail, hypergeometric_two_sided, normal_sf

Alternative = Literal["two-sided", "less", "greater"]


def _checked(alternative: str) -> None:
    if alternative not in {"two-sided", "less", "greater"}:
        raise ValueError(f"alternative is 'two-sided', 'less' or 'greater', not {alternative!r}")


def fisher_exact(table: Sequence[Sequence[int]], alternative: Alternative = "two-sided") -> Tested:
    """Test whether the rows of a 2 x 2 table have one odds, exactly; as `scipy.stats.fisher_exact`.

    The p-value is the mass, with all margins given, of the tables as extreme as the one seen (Fisher 1935): two-sided those no more
    likely, else those with a first cell at least ("greater") or at most ("less") as large.

    Args:
        table: [[a, b], [c, d]], whole numbers, none negative.
        alternative: of the odds ratio against 1.

    Returns:
        The sample odds ratio a d / (b c) (infinite where only b c is 0; 1 where both are, for want of evidence) and the p-value.
    """
    _checked(alternative)
    (a, b), (c, d) = ((int(cell) for cell in row) for row in table)
    if min(a, b, c, d) < 0:
        raise ValueError("the cells of a table are not negative")
    ratio = a * d / (b * c) if b * c else float("inf") if a * d else 1.0
    row, column, total = a + b, a + c, a + b + c + d
    if alternative == "two-sided":
        return Tested(ratio, hypergeometric_two_sided(a, row, column, total))
    return Tested(ratio, hypergeometric_tail(a, row, column, total, alternative == "greater"))


def proportions_ztest(count: tuple[int, int], nobs: tuple[int, int], alternative: Alternative = "two-sided") -> Tested:
    """Test whether two proportions are equal by the normal limit with a pooled variance; as statsmodels' function.

    z = (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)) with p the pooled proportion. The samples may be of any, unequal, sizes.

    Args:
        count: successes in each sample.
        nobs: rows in each sample.
        alternative: "two-sided", "less" (the first proportion is smaller) or "greater".

    Returns:
        z and the p-value. An empty sample, or all rows alike, is no evidence: 0, 1.
    """
    _checked(alternative)
    (a, b), (m, n) = count, nobs
    if not (0 <= a <= m and 0 <= b <= n):
        raise ValueError(f"successes are between 0 and the rows: {count} of {nobs}")
    pooled = (a + b) / (m + n) if m + n else 0.0
    variance = pooled * (1 - pooled) * (1 / m + 1 / n) if m and n else 0.0
    if variance <= 0:
        return Tested(0.0, 1.0)
    z = (a / m - b / n) / sqrt(variance)
    if alternative == "two-sided":
        return Tested(z, min(1.0, 2 * normal_sf(abs(z))))
    return Tested(z, normal_sf(z if alternative == "greater" else -z))
