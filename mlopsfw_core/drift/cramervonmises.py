"""The two-sample Cramér-von Mises test."""

from __future__ import annotations

from fractions import Fraction
from math import comb, cosh, exp, lcm, lgamma, pi, sqrt
from typing import Any, Literal

from ._criterion_paths import paths_below
from ._ranks import RankSums, rank_sums
from ._samples import Tested, sorted_values

Method = Literal["auto", "exact", "asymptotic"]

MAX_EXACT = 20
"""Samples up to this size get their exact p-value by default, as in SciPy."""


def _criterion(sums: RankSums) -> tuple[float, Fraction]:
    """Return Anderson's T (his equation 9) and U (10), from whole numbers: nothing cancels."""
    m, n = sums.m, sums.n
    u = Fraction(m * sums.x_spread + n * sums.y_spread, 4)
    return float(u / (m * n * (m + n)) - Fraction(4 * m * n - 1, 6 * (m + n))), u


def _bessel_k_quarter(x: float) -> float:
    """Return exp(x) K_{1/4}(x): the integral of exp(-x (cosh t - 1)) cosh(t/4), by the trapezoidal rule."""
    step = 0.05
    total, t = 0.5, step
    while True:
        term = exp(-x * (cosh(t) - 1)) * cosh(t / 4)
        total += term
        if term < total * 1e-17:
            return total * step
        t += step


def _limit_cdf(x: float) -> float:
    """Return the limiting distribution function of the criterion: Csorgo & Faraway 1996, equation (1.3)."""
    total = 0.0
    for k in range(200):
        y = 4 * k + 1
        q = y * y / (16 * x)
        front = exp(lgamma(k + 0.5) - lgamma(k + 1)) / (pi**1.5 * sqrt(x))
        term = front * sqrt(y) * exp(-2 * q) * _bessel_k_quarter(q) if q < 350 else 0.0  # noqa: PLR2004 - e^-700
        total += term
        if term < 1e-17:  # noqa: PLR2004 - rounding of a total near 1
            break
    return min(1.0, total)


def _asymptotic_pvalue(t: float, m: int, n: int) -> float:
    """Standardise T by its exact mean and variance (Anderson 1962, equations 14 and 15), then take the limit law."""
    total, product = m + n, m * n
    mean = (1 + 1 / total) / 6
    variance = (total + 1) * (4 * product * total - 3 * (m * m + n * n) - 2 * product) / (45 * total**2 * 4 * product)
    scaled = 1 / 6 + (t - mean) / sqrt(45 * variance)
    return 1.0 if scaled < 0.003 else max(0.0, 1.0 - _limit_cdf(scaled))  # noqa: PLR2004 - SciPy's border


def _exact_pvalue(u: Fraction, m: int, n: int) -> float:
    """Return the share of orderings whose criterion is at least the one seen."""
    border = lcm(m, n) ** 2 * (m + n) * (6 * u - m * n * (4 * m * n - 1)) // (6 * (m * n) ** 2)
    orderings = comb(m + n, m)
    return (orderings - paths_below(int(border), m, n)) / orderings


def cramervonmises_2samp(x: Any, y: Any, method: Method = "auto") -> Tested:
    """Test whether two samples come from one continuous distribution; as `scipy.stats.cramervonmises_2samp`.

    T = mn/(m+n)^2 times the sum of (F - G)^2 over the pooled sample (Anderson 1962), by midranks where values are tied.

    Args:
        x: the first sample, any column of numbers.
        y: the second.
        method: "exact", "asymptotic", or "auto": exact up to 20 values each.

    Returns:
        Statistic and p-value. Nulls and NaN are left out, infinities are extreme values. A sample with fewer than two values
        is no evidence: 0, 1.
    """
    if method not in {"auto", "exact", "asymptotic"}:
        raise ValueError(f"method is 'auto', 'exact' or 'asymptotic', not {method!r}")
    first, second = sorted_values(x), sorted_values(y)
    if not first.size or not second.size:
        return Tested(0.0, 1.0)
    return cramervonmises_result(rank_sums(first, second), method)


def cramervonmises_result(sums: RankSums, method: Method = "auto") -> Tested:
    """Turn the sums of a walk over two samples into the test's answer."""
    if min(sums.m, sums.n) <= 1:
        return Tested(0.0, 1.0)
    t, u = _criterion(sums)
    if method == "exact" or (method == "auto" and max(sums.m, sums.n) <= MAX_EXACT):
        return Tested(t, _exact_pvalue(u, sums.m, sums.n))
    return Tested(t, _asymptotic_pvalue(t, sums.m, sums.n))
