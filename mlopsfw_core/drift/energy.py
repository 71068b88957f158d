"""The energy distance on the line."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from ._ranks import RankSums, rank_sums
from ._samples import nonempty, sorted_values
from ._weights import weighted_steps


def energy_of(sums: RankSums) -> float:
    """Return the distance from the sums of a walk over two samples."""
    return sqrt(2 * sums.square) / sums.m / sums.n


def energy_distance(u_values: Any, v_values: Any, u_weights: Any = None, v_weights: Any = None) -> float:
    """Return the energy distance of two samples; as `scipy.stats.energy_distance`.

    sqrt(2 times the integral of (F - G)^2) (Szekely 2002), in the square root of the values' unit.

    Args:
        u_values: the first sample, any column of numbers.
        v_values: the second.
        u_weights: a weight for each value of the first, not negative, or None for equal ones. Weight 0 means absent.
        v_weights: the same for the second.

    Returns:
        The distance, at least 0; infinite where the samples hold different shares of an infinity. Nulls and NaN are left out.

    Raises:
        ValueError: a sample is empty, or weights do not fit their values.
    """
    if u_weights is None and v_weights is None:
        u, v = sorted_values(u_values), sorted_values(v_values)
        nonempty("energy_distance", u, v)
        return energy_of(rank_sums(u, v))
    points, gaps = weighted_steps(u_values, u_weights, v_values, v_weights, "energy_distance")
    with np.errstate(invalid="ignore"):
        pieces = np.where(gaps[:-1] == 0, 0.0, gaps[:-1] ** 2 * np.diff(points))
    return sqrt(2 * float(pieces.sum()))
