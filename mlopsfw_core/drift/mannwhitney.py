"""The Mann-Whitney U test."""

from __future__ import annotations

from math import comb, sqrt
from typing import Any, Literal

import numpy as np

from ._ranks import RankSums, rank_sums
from ._samples import Tested, sorted_values
from ._special import normal_sf

Alternative = Literal["two-sided", "less", "greater"]
Method = Literal["auto", "exact", "asymptotic"]

SMALL = 8
"""Without ties, and with at most this many values in either sample, the p-value is exact by default, as in SciPy."""

MAX_EXACT_CELLS = 100_000
"""The most values of U for which "auto" counts; beyond, the normal limit holds."""


def _exact_sf(u: int, m: int, n: int) -> float:
    """Return P(U >= u) by counting partitions: the coefficients of the Gaussian binomial, in whole numbers.

    Multiplying by (1 - q^(n+k)) and dividing by (1 - q^k) for k = 1..m, each in place on the list of coefficients.
    """
    if m > n:
        m, n = n, m
    ways = [0] * (m * n + 1)
    ways[0] = 1
    for k in range(1, m + 1):
        for place in range(m * n, n + k - 1, -1):
            ways[place] -= ways[place - n - k]
        for place in range(k, m * n + 1):
            ways[place] += ways[place - k]
    return sum(ways[max(u, 0) :]) / comb(m + n, m)


def _normal_sf(u: float, sums: RankSums, correction: float) -> float:
    """Return P(U >= u) by the normal limit, its variance corrected for ties."""
    m, n, total = sums.m, sums.n, sums.m + sums.n
    variance = m * n / 12 * ((total + 1) - sums.tie_cubes / (total * (total - 1)))
    if variance <= 0:
        return 1.0 if u - correction <= m * n / 2 else 0.0
    return normal_sf((u - m * n / 2 - correction) / sqrt(variance))


def mannwhitneyu(
    x: Any,
    y: Any,
    *,
    use_continuity: bool = True,
    alternative: Alternative = "two-sided",
    method: Method = "auto",
) -> Tested:
    """Test whether a value of x tends to be larger or smaller than one of y; as `scipy.stats.mannwhitneyu`.

    U is the number of pairs with x above y, ties counting a half (Mann & Whitney 1947). U / (m n) is the area under the ROC curve.

    Args:
        x: the first sample, any column of numbers.
        y: the second.
        use_continuity: whether the normal limit is taken half a step nearer.
        alternative: "two-sided", "less" (x tends to be smaller) or "greater".
        method: "exact" (no correction for ties), "asymptotic", or "auto": exact without ties and with at most eight values in
            either sample.

    Returns:
        U of the first sample and the p-value. Nulls and NaN are left out; an empty sample is no evidence: 0, 1.
    """
    if alternative not in {"two-sided", "less", "greater"} or method not in {"auto", "exact", "asymptotic"}:
        raise ValueError(f"unknown alternative {alternative!r} or method {method!r}")
    first, second = sorted_values(x), sorted_values(y)
    if not first.size or not second.size:
        return Tested(0.0, 1.0)
    return mannwhitney_result(
        rank_sums(first, second), use_continuity=use_continuity, alternative=alternative, method=method
    )


def mannwhitney_result(
    sums: RankSums,
    *,
    use_continuity: bool = True,
    alternative: Alternative = "two-sided",
    method: Method = "auto",
) -> Tested:
    """Turn the sums of a walk over two samples into the test's answer."""
    m, n = sums.m, sums.n
    u = sums.x_ranks / 2 - m * (m + 1) / 2
    side = {"greater": u, "less": m * n - u, "two-sided": max(u, m * n - u)}[alternative]
    if method == "auto":
        small = min(m, n) <= SMALL and m * n <= MAX_EXACT_CELLS and not sums.tie_cubes
        method = "exact" if small else "asymptotic"
    tail = _exact_sf(int(np.floor(side)), m, n) if method == "exact" else _normal_sf(side, sums, 0.5 * use_continuity)
    return Tested(u, min(1.0, tail * (2 if alternative == "two-sided" else 1)))
