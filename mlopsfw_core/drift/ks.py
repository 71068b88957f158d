"""The two-sample Kolmogorov-Smirnov test.

D = sup_x |F(x) - G(x)| over the two empirical distribution functions, found by `_gaps`; the p-value comes from `_kolmogorov`. Names,
arguments and defaults are those of `scipy.stats.ks_2samp`.
"""

from __future__ import annotations

from math import exp, gcd, nan, sqrt
from typing import Any, Literal, NamedTuple

from mlopsfw_core._buffers import numeric_values

from ._gaps import grid_extremes
from ._kolmogorov import kolmogorov_sf, two_sample_exact
from ._levels import few_levels
from ._ranks import RankSums, rank_sums
from ._samples import Floats, ordered

Alternative = Literal["two-sided", "less", "greater"]
Method = Literal["auto", "exact", "asymp"]

MAX_EXACT = 10_000
"""Samples up to this size get their exact p-value by default, as in SciPy."""


class KsResult(NamedTuple):
    """The statistic, its p-value, where the distance is attained, and whether F lies above (1) or below (-1) there."""

    statistic: float
    pvalue: float
    statistic_location: float
    statistic_sign: int


Extremes = tuple[int, int, float, float]
"""D+ and D- in units of 1 / (m n), and the first values at which they are attained: NaN where they are 0."""


def sorted_extremes(x: Floats, y: Floats) -> Extremes:
    """Return the `Extremes` of two sorted samples; where one is empty, nothing is apart."""
    return extremes_of(rank_sums(x, y)) if x.size and y.size else (0, 0, nan, nan)


def extremes_of(sums: RankSums) -> Extremes:
    """Return the `Extremes` that a walk over two samples met."""
    return sums.above, sums.below, sums.above_at, sums.below_at


def gap_extremes(data1: Any, data2: Any) -> tuple[Extremes, int, int]:
    """Return the `Extremes` of two columns, and their sizes m and n.

    Large samples of many values are first tried as they are: looking for NaN would cost as much as counting.
    """
    x, y = numeric_values(data1)[0], numeric_values(data2)[0]
    extremes = None if few_levels(x) is not None else grid_extremes(x, y)
    if extremes is None:
        x, y = ordered(x), ordered(y)
        extremes = sorted_extremes(x, y)
    return extremes, x.size, y.size


def ks_pvalue(units: int, m: int, n: int, alternative: Alternative = "two-sided", method: Method = "auto") -> float:
    """Return the p-value of a distance of units / (m n).

    Args:
        units: the distance times m n, a whole number.
        m: size of the first sample.
        n: size of the second.
        alternative: "two-sided", "less" or "greater".
        method: "exact"; "asymp": two-sided by the finite-n one-sample distribution at mn/(m+n), one-sided by Hodges'
            (5.3); or "auto": exact up to `MAX_EXACT` values.

    With ties the exact p-value is too large, never too small.
    """
    if method not in {"auto", "exact", "asymp"}:
        raise ValueError(f"method is 'auto', 'exact' or 'asymp', not {method!r}")
    if min(m, n) == 0 or units <= 0:
        return 1.0
    both = alternative == "two-sided"
    if method == "exact" or (method == "auto" and max(m, n) <= MAX_EXACT):
        return two_sample_exact(m, n, units // gcd(m, n), both)
    d, effective = units / (m * n), m * n / (m + n)
    if both:
        return kolmogorov_sf(d, round(effective))
    larger, smaller, z = max(m, n), min(m, n), sqrt(effective) * d
    return min(1.0, exp(-2 * z * z - 2 * z * (larger + 2 * smaller) / sqrt(m * n * (m + n)) / 3))


def direction_of(alternative: str) -> Alternative:
    """Return the alternative that a name, or its beginning as SciPy allows, stands for."""
    names: tuple[Alternative, ...] = ("two-sided", "less", "greater")
    for name in names:
        if alternative and name.startswith(alternative.lower()):
            return name
    raise ValueError(f"alternative is 'two-sided', 'less' or 'greater', not {alternative!r}")


def ks_2samp(data1: Any, data2: Any, alternative: Alternative = "two-sided", method: Method = "auto") -> KsResult:
    """Test whether two samples come from one continuous distribution (Kolmogorov-Smirnov).

    Args:
        data1: the first sample, F; any column of numbers, in any order.
        data2: the second sample, G.
        alternative: "two-sided" (D), "greater" (F somewhere above G, D+) or "less" (D-).
        method: "auto" (exact up to 10,000 values each), "exact" or "asymp"; see `ks_pvalue`.

    Returns:
        KsResult. Nulls and NaN are left out, infinities are ordinary extreme values. Where a sample is empty there is
        no evidence: statistic 0, p-value 1, location NaN. With ties the p-value is conservative.
    """
    return ks_result(*gap_extremes(data1, data2), direction_of(alternative), method)


def ks_result(
    extremes: Extremes, m: int, n: int, direction: Alternative = "two-sided", method: Method = "auto"
) -> KsResult:
    """Turn extremes into the test's answer."""
    above, below, above_at, below_at = extremes
    if direction == "less" or (direction == "two-sided" and below > above):
        units, location, sign = below, below_at, -1
    else:
        units, location, sign = above, above_at, 1
    statistic = units / (m * n) if units else 0.0
    return KsResult(statistic, ks_pvalue(units, m, n, direction, method), location, sign)
