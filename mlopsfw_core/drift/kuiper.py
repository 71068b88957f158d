"""Kuiper's two-sample test."""

from __future__ import annotations

from math import exp, sqrt
from typing import Any

from ._samples import Tested
from .ks import Extremes, gap_extremes


def kuiper_sf(distance: float, effective: float) -> float:
    """Return P(V >= distance) for samples of effective size mn/(m+n), by Stephens' 1970 finite-size form of Kuiper's series.

    Q = 2 sum_j (4 j^2 L^2 - 1) exp(-2 j^2 L^2) with L = (sqrt(N) + 0.155 + 0.24 / sqrt(N)) V; good for N of 20 and more.
    """
    scaled = (sqrt(effective) + 0.155 + 0.24 / sqrt(effective)) * distance
    square = scaled * scaled
    if square < 0.16:  # noqa: PLR2004 - below, the series cancels and the answer is 1 to sixteen digits
        return 1.0
    total = sum((4 * j * j * square - 1) * exp(-2 * j * j * square) for j in range(1, 40))
    return min(1.0, max(0.0, 2 * total))


def kuiper_2samp(data1: Any, data2: Any) -> Tested:
    """Test whether two samples come from one continuous distribution (Kuiper 1960).

    V = D+ + D-: how far F lies above G, plus how far below. As sensitive in the tails as in the middle, and unchanged when
    values on a circle (hours, weekdays, angles) are counted from another start.

    Args:
        data1: the first sample, any column of numbers.
        data2: the second.

    Returns:
        Statistic and asymptotic p-value. Nulls and NaN are left out; an empty sample is no evidence (0, 1).
    """
    return kuiper_result(*gap_extremes(data1, data2))


def kuiper_result(extremes: Extremes, m: int, n: int) -> Tested:
    """Turn extremes into the test's answer."""
    if not m or not n:
        return Tested(0.0, 1.0)
    above, below = extremes[:2]
    distance = (above + below) / (m * n)
    return Tested(distance, kuiper_sf(distance, m * n / (m + n)))
