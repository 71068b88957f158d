"""Drift between two profiles, from their sketches alone: Kolmogorov-Smirnov's distance with bounds, and PSI."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlopsfw_core.drift.psi import psi as psi_of_counts

from .column import ColumnProfile


class Bounds(NamedTuple):
    """An estimate and what the true value lies between, with the asked probability at every place looked at."""

    value: float
    lower: float
    upper: float


def ks_bounds(first: ColumnProfile, second: ColumnProfile, confidence: float = 0.99) -> Bounds:
    """Return the greatest gap between two profiles' distribution functions.

    Gaps are taken at the values that either sketch keeps; the bound is for all of them at once (Bonferroni), and a sketch's own step
    between two kept values is added above.
    """
    points = np.unique(np.concatenate([_places(first), _places(second)]))
    if not points.size:
        return Bounds(0.0, 0.0, 1.0)
    gap = float(np.abs([first.rank(x) - second.rank(x) for x in points.tolist()]).max())
    each = 1 - (1 - confidence) / (2 * points.size)
    error = first.rank_error(each) + second.rank_error(each)
    return Bounds(gap, max(0.0, gap - error), min(1.0, gap + error + _step(first) + _step(second)))


def _places(profile: ColumnProfile) -> np.ndarray:
    return profile.numbers.quantiles.steps[0] if profile.numbers else np.zeros(0)


def _step(profile: ColumnProfile) -> float:
    """The most rows, as a share, that a sketch tells apart no further."""
    sketch = profile.numbers.quantiles if profile.numbers else None
    exact = sketch is None or not sketch.variance
    return 0.0 if exact or sketch is None else float(1 << (len(sketch.levels) - 1)) / sketch.count


def psi(first: ColumnProfile, second: ColumnProfile, bins: int = 10) -> float:
    """Return the population stability index over the first profile's quantile bins; bin shares are within twice `rank_error`."""
    edges = np.unique([first.quantile(share) for share in np.arange(1, bins) / bins])
    counts = [
        np.diff(np.array([0.0, *each.cdf(edges.tolist()), 1.0])) * each.numbers.ordered
        for each in (first, second)
        if each.numbers
    ]
    return float(psi_of_counts(*counts)) if len(counts) > 1 else float("nan")
