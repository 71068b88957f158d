"""The two-sample Kolmogorov-Smirnov test.

D = sup_x |F(x) - G(x)| over the two empirical distribution functions. One walk over both sorted samples finds it; the
p-value comes from `_kolmogorov`. Names, arguments and defaults are those of `scipy.stats.ks_2samp`.
"""

from __future__ import annotations

from math import exp, gcd, sqrt
from typing import NamedTuple

cimport numpy as cnp
from libc.stdint cimport int64_t

from ._kolmogorov import kolmogorov_sf, two_sample_exact
from ._samples import sorted_values

cnp.import_array()

MAX_EXACT = 10_000
"""Samples up to this size get their exact p-value by default, as in SciPy."""


class KsResult(NamedTuple):
    """The statistic, its p-value, where the distance is attained, and whether F lies above (1) or below (-1) there."""

    statistic: float
    pvalue: float
    statistic_location: float
    statistic_sign: int


cdef struct Extremes:
    int64_t above, below           # the largest i*n - j*m and j*m - i*n; over m*n they are D+ and D-
    double above_at, below_at


cdef Extremes _walk(const double* x, int64_t m, const double* y, int64_t n) noexcept nogil:
    """Find how far apart the step functions come, in units of 1 / (m n), walking both sorted samples at once.

    Each step takes the heads that equal the smaller one, without a branch. A distance counts only where no tie is left
    to take; that is looked at only when it would be a new extreme.
    """
    cdef Extremes best = Extremes(0, 0, 0.0, 0.0)
    cdef int64_t i = 0, j = 0, gap = 0
    cdef bint from_x, from_y
    cdef double value = 0
    if m and n:
        best.above_at = best.below_at = min(x[0], y[0])
    while i < m and j < n:
        from_x, from_y = x[i] <= y[j], y[j] <= x[i]
        value = x[i] if from_x else y[j]
        i += from_x
        j += from_y
        gap += (n if from_x else 0) - (m if from_y else 0)
        if gap > best.above or -gap > best.below:
            _note(&best, gap, value, i == m or x[i] > value, j == n or y[j] > value)
    # One sample is spent: only ties with the last value can still move the gap outwards.
    while i < m and x[i] <= value:
        gap += n
        i += 1
    while j < n and y[j] <= value:
        gap -= m
        j += 1
    _note(&best, gap, value, True, True)
    return best


cdef inline void _note(Extremes* best, int64_t gap, double value, bint x_done, bint y_done) noexcept nogil:
    if x_done and y_done:
        if gap > best.above:
            best.above, best.above_at = gap, value
        elif -gap > best.below:
            best.below, best.below_at = -gap, value


def ks_extremes(const double[::1] x, const double[::1] y) -> tuple:
    """Return (D+ and D- in units of 1/(m n), and where they are first attained) for two sorted samples."""
    cdef Extremes best
    cdef int64_t m = x.shape[0], n = y.shape[0]
    if not m or not n:
        return 0, 0, float("nan"), float("nan")
    with nogil:
        best = _walk(&x[0], m, &y[0], n)
    return best.above, best.below, best.above_at, best.below_at


def ks_pvalue(long long units, long long m, long long n, alternative="two-sided", method="auto") -> float:
    """Return the p-value of a distance of units / (m n).

    Args:
        units: the distance times m n, an integer.
        m: size of the first sample.
        n: size of the second.
        alternative: "two-sided", "less" or "greater".
        method: "exact"; "asymp": two-sided by the finite-n one-sample distribution at mn/(m+n), one-sided by Hodges'
            (5.3); or "auto": exact up to `MAX_EXACT` values.

    With ties the exact p-value is too large, never too small.
    """
    if method not in ("auto", "exact", "asymp"):
        raise ValueError(f"method is 'auto', 'exact' or 'asymp', not {method!r}")
    if min(m, n) == 0 or units <= 0:
        return 1.0
    both = alternative == "two-sided"
    if method == "exact" or (method == "auto" and max(m, n) <= MAX_EXACT):
        return two_sample_exact(m, n, units // gcd(m, n), both)
    d, effective = <double> units / m / n, <double> m * n / (m + n)
    if both:
        return kolmogorov_sf(d, round(effective))
    larger, smaller, z = max(m, n), min(m, n), sqrt(effective) * d
    return min(1.0, exp(-2 * z * z - 2 * z * (larger + 2 * smaller) / sqrt(float(m) * n * (m + n)) / 3))


def _direction(alternative: str) -> str:
    for name in ("two-sided", "less", "greater"):
        if alternative and name.startswith(alternative.lower()):
            return name
    raise ValueError(f"alternative is 'two-sided', 'less' or 'greater', not {alternative!r}")


def ks_2samp(data1, data2, alternative="two-sided", method="auto"):
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
    direction = _direction(alternative)
    x, y = sorted_values(data1), sorted_values(data2)
    above, below, above_at, below_at = ks_extremes(x, y)
    if direction == "less" or (direction == "two-sided" and below > above):
        units, location, sign = below, below_at, -1
    else:
        units, location, sign = above, above_at, 1
    statistic = units / (len(x) * len(y)) if units else 0.0
    return KsResult(statistic, ks_pvalue(units, len(x), len(y), direction, method), location, sign)
