"""Weighted samples on the line, as the difference of two step functions. Only for weighted calls: the plain ones walk faster."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlopsfw_core._buffers import numeric_values

from ._samples import Floats, nonempty


def _weighted(values: Any, weights: Any) -> tuple[Floats, Floats]:
    numbers, nulls = numeric_values(values)
    if nulls:
        raise ValueError("a weighted sample has no nulls: leave out the rows whose value is null, with their weights")
    shares = np.ones(numbers.size) if weights is None else numeric_values(weights)[0]
    if shares.shape != numbers.shape:
        raise ValueError(f"{shares.size} weights do not fit {numbers.size} values")
    if not np.isfinite(shares).all() or (shares < 0).any():
        raise ValueError("weights are finite and not negative")
    valid = (shares > 0) & ~np.isnan(numbers)
    return numbers[valid], shares[valid] / max(shares[valid].sum(), np.finfo(float).tiny)


def weighted_steps(u: Any, u_weights: Any, v: Any, v_weights: Any, statistic: str) -> tuple[Floats, Floats]:
    """Return (points, gaps): the distinct values in order, and F - G from each point up to the next.

    Rows of weight 0 and NaN values vanish. The last gap is exactly 0.
    """
    (a, a_shares), (b, b_shares) = _weighted(u, u_weights), _weighted(v, v_weights)
    nonempty(statistic, a, b)
    points, index = np.unique(np.concatenate([a, b]), return_inverse=True)
    steps = np.bincount(index, np.concatenate([a_shares, -b_shares]), minlength=points.size)
    gaps: Floats = np.cumsum(steps, dtype=np.float64)
    gaps[-1] = 0.0
    return points, gaps
