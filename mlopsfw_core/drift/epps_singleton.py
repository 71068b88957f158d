"""The Epps-Singleton test, which compares characteristic functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._samples import Floats, Tested, near_one, present_values
from ._special import chi2_sf

SMALLEST = 5
"""Fewer values than this in a sample are no evidence."""

LEAST = 1e-250
"""A covariance below this is 0: rounding leaves 1e-32 of what varies at all, and its inverse would be beyond float64."""

LARGEST = float(np.finfo(np.float64).max)

SMALL = 25
"""Where both samples are smaller than this, the statistic gets its authors' correction."""


def _waves(values: Floats, points: Floats) -> Floats:
    with np.errstate(over="ignore"):  # an angle beyond float64 is as good as any other that large
        angles = np.clip(np.outer(points, values), -LARGEST, LARGEST)
    return np.concatenate([np.cos(angles), np.sin(angles)])


def _semi_iqr(values: Floats) -> float:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low) / 2


def epps_singleton_2samp(x: Any, y: Any, t: Sequence[float] = (0.4, 0.8)) -> Tested:
    """Test whether two samples come from one distribution, discrete or continuous; as `scipy.stats.epps_singleton_2samp`.

    W2 = N g' S^-1 g, with g the difference of the empirical characteristic functions at t over the pooled semi-interquartile
    range, and S its covariance, against chi-squared with rank(S) degrees of freedom (Epps & Singleton 1986, with the small-sample
    correction of Goerg & Kaiser 2009). Ties do it no harm.

    Args:
        x: the first sample, any column of numbers.
        y: the second.
        t: points at which the characteristic functions are compared, all positive.

    Returns:
        Statistic and p-value. Nulls, NaN and infinities are left out. Fewer than five values in a sample, a pooled
        interquartile range of 0, or characteristic functions that do not vary, are no evidence: 0, 1.
    """
    points = np.asarray(t, dtype=np.float64)
    if points.ndim != 1 or not (points > 0).all():
        raise ValueError("t is one-dimensional and positive")
    first, second = (values[np.isfinite(values)] for values in (present_values(x), present_values(y)))
    m, n = first.size, second.size
    if min(m, n) < SMALLEST:
        return Tested(0.0, 1.0)
    first, second = near_one(first, second)
    if not (sigma := _semi_iqr(np.concatenate([first, second]))):
        return Tested(0.0, 1.0)
    with np.errstate(over="ignore"):
        waves = _waves(first / sigma, points), _waves(second / sigma, points)
    covariance = (m + n) * (np.cov(waves[0], bias=True) / m + np.cov(waves[1], bias=True) / n)
    if np.abs(covariance).max() < LEAST:
        return Tested(0.0, 1.0)
    inverse = np.linalg.pinv(covariance)
    difference = waves[0].mean(axis=1) - waves[1].mean(axis=1)
    statistic = float((m + n) * difference @ inverse @ difference)
    if max(m, n) < SMALL:
        statistic /= 1 + (m + n) ** -0.45 + 10.1 * (m**-1.7 + n**-1.7)
    return Tested(statistic, chi2_sf(statistic, int(np.linalg.matrix_rank(inverse))))
