"""The Wasserstein-1 (earth mover's) distance on the line."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._ranks import rank_sums
from ._samples import Floats, nonempty, sorted_values
from ._weights import weighted_steps


def sorted_distance(x: Floats, y: Floats) -> float:
    """Return W1 of two sorted, non-empty samples."""
    return rank_sums(x, y).area / x.size / y.size


def wasserstein_distance(u_values: Any, v_values: Any, u_weights: Any = None, v_weights: Any = None) -> float:
    """Return the Wasserstein-1 distance of two samples; as `scipy.stats.wasserstein_distance`.

    The integral of |F - G| (Vallender 1974), exact for two empirical distributions, in the unit of the values.

    Args:
        u_values: the first sample; any column of numbers, in any order.
        v_values: the second sample.
        u_weights: a weight for each value of the first, not negative, or None for equal ones. Weight 0 means absent.
        v_weights: the same for the second.

    Returns:
        The distance. Nulls and NaN are left out. Equal shares of an infinity in both cost nothing, different ones make the
        distance infinite.

    Raises:
        ValueError: a sample is empty, or weights do not fit their values.
    """
    if u_weights is None and v_weights is None:
        u, v = sorted_values(u_values), sorted_values(v_values)
        nonempty("wasserstein_distance", u, v)
        return sorted_distance(u, v)
    points, gaps = weighted_steps(u_values, u_weights, v_values, v_weights, "wasserstein_distance")
    with np.errstate(invalid="ignore"):
        return float(np.sum(np.where(gaps[:-1] == 0, 0.0, np.abs(gaps[:-1]) * np.diff(points))))
