"""The Anderson-Darling test for two samples."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, pi, sqrt
from typing import Any, NamedTuple

import numpy as np

from ._ranks import RankSums, rank_sums
from ._samples import Floats, sorted_values

LEVELS = np.array([0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001])
"""Significance levels of the critical values; the p-value is held between the first and the last."""

_CRITICAL = np.array([0.675, 1.281, 1.645, 1.96, 2.326, 2.573, 3.085])
_CRITICAL += [-0.245, 0.25, 0.678, 1.149, 1.822, 2.364, 3.615]
_CRITICAL += [-0.105, -0.305, -0.362, -0.391, -0.396, -0.345, -0.154]


class AndersonResult(NamedTuple):
    """The standardised statistic, its critical values at `LEVELS`, and its p-value within [0.001, 0.25]."""

    statistic: float
    critical_values: Floats
    pvalue: float


def _harmonic(n: int) -> float:
    """Return 1 + 1/2 + ... + 1/n."""
    if n < 30:  # noqa: PLR2004 - above, the expansion is exact to rounding
        return sum(1 / k for k in range(1, n + 1))
    return log(n) + 0.5772156649015329 + 1 / (2 * n) - 1 / (12 * n**2) + 1 / (120 * n**4)


def _harmonic_squares(n: int) -> float:
    """Return 1 + 1/4 + ... + 1/n^2."""
    if n < 30:  # noqa: PLR2004 - as above
        return sum(1 / k**2 for k in range(1, n + 1))
    return pi**2 / 6 - 1 / n + 1 / (2 * n**2) - 1 / (6 * n**3) + 1 / (30 * n**5)


def _deviation(m: int, n: int) -> float:
    """Return the standard deviation of the statistic for two samples (Scholz & Stephens 1987, equation 4).

    Their double sum g is H2(N) - 2 H(N-1) / N - 1 / N^2, from the product of the series of ln(1-x) and ln(1-x)/(1-x).
    """
    total = m + n
    h, reciprocals = _harmonic(total - 1), 1 / m + 1 / n
    g = _harmonic_squares(total) - 2 * h / total - 1 / total**2
    a = (4 * g - 6) + (10 - 6 * g) * reciprocals
    b = 4 * (2 * g - 4) + 16 * h + (2 * g - 14 * h - 4) * reciprocals - 8 * h + 4 * g - 6
    c = 4 * (6 * h + 2 * g - 2) + 2 * (4 * h - 4 * g + 6) + (2 * h - 6) * reciprocals + 4 * h
    d = 4 * (2 * h + 6) - 8 * h
    return sqrt((a * total**3 + b * total**2 + c * total + d) / ((total - 1) * (total - 2) * (total - 3)))


def _statistic(sums: RankSums) -> float:
    """Return the midrank A2 (Scholz & Stephens, equation 7), less its mean 1, over its deviation."""
    total = sums.m + sums.n
    square = (total - 1) / total * sums.anderson / total * (1 / sums.m + 1 / sums.n)
    return (square - 1) / _deviation(sums.m, sums.n)


def _pvalue(statistic: float) -> float:
    """Interpolate the logarithm of the level by a parabola through the critical values, as SciPy does."""
    if statistic < _CRITICAL.min():
        return float(LEVELS[0])
    if statistic > _CRITICAL.max():
        return float(LEVELS[-1])
    return exp(float(np.polyval(np.polyfit(_CRITICAL, np.log(LEVELS), 2), statistic)))


def anderson_ksamp(samples: Sequence[Any]) -> AndersonResult:
    """Test whether two samples come from one distribution (Scholz & Stephens 1987); `scipy.stats.anderson_ksamp` for k = 2.

    The squared gap of the distribution functions, weighted by 1 / (H (1 - H)) with H that of the pooled sample, so that the
    tails count; the midrank version, which allows ties.

    Args:
        samples: two columns of numbers.

    Returns:
        AndersonResult. Nulls and NaN are left out. Where a sample is empty, all values are one, or there are fewer than four, there
        is no evidence: statistic 0 and p-value 0.25, the largest that this test gives.

    Raises:
        ValueError: not two samples.
    """
    if len(samples) - 1 != 1:
        raise ValueError(f"two samples are compared here, not {len(samples)}")
    first, second = (sorted_values(sample) for sample in samples)
    return anderson_result(rank_sums(first, second) if first.size and second.size else None)


def anderson_result(sums: RankSums | None) -> AndersonResult:
    """Turn the sums of a walk over two samples into the test's answer; None where one is empty."""
    total = sums.m + sums.n if sums else 0
    if sums is None or total <= 3 or sums.tie_cubes == total**3 - total:  # noqa: PLR2004 - the variance needs four
        return AndersonResult(0.0, _CRITICAL.copy(), float(LEVELS[0]))
    statistic = _statistic(sums)
    return AndersonResult(statistic, _CRITICAL.copy(), _pvalue(statistic))
