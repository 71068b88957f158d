"""Distances of two binned distributions that are one line each: Kullback-Leibler, Hellinger, total variation and their kin.

Each takes counts or shares, or samples with `bins=` (see `_bins.Bins`), leaves out nulls and NaN, and raises ValueError for an empty
sample. p is the reference's share of a bin, q the current one's. Only Kullback-Leibler needs a rule for empty bins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._bins import Bins, shares


def kl_divergence(p: Any, q: Any, base: float | None = None, *, bins: Bins = None) -> float:
    """Return the Kullback-Leibler divergence, the sum of p ln(p / q), as `scipy.stats.entropy(p, q, base)`.

    Where p is 0 a bin adds nothing; where only q is 0 the divergence is infinite. It is not symmetric.
    """
    first, second = shares(p, q, bins)
    used = first > 0
    if (second[used] == 0).any():
        return float("inf")
    divergence = max(0.0, float(np.sum(first[used] * (np.log(first[used]) - np.log(second[used])))))
    return divergence if base is None else divergence / float(np.log(base))


def hellinger(p: Any, q: Any, *, bins: Bins = None) -> float:
    """Return the Hellinger distance sqrt(sum (sqrt p - sqrt q)^2 / 2), in [0, 1]."""
    first, second = shares(p, q, bins)
    return float(np.sqrt(np.sum((np.sqrt(first) - np.sqrt(second)) ** 2) / 2))


def bhattacharyya(p: Any, q: Any, *, bins: Bins = None) -> float:
    """Return the Bhattacharyya distance -ln(sum sqrt(p q)): 0 for equal shares, infinite where no bin is shared.

    By way of the Hellinger distance H, as -ln(1 - H^2), which keeps its digits near equality.
    """
    squared = hellinger(p, q, bins=bins) ** 2
    return float("inf") if squared >= 1 else float(-np.log1p(-squared))


def total_variation(p: Any, q: Any, *, bins: Bins = None) -> float:
    """Return the total variation distance sum |p - q| / 2, in [0, 1]: the share of rows that would have to move."""
    first, second = shares(p, q, bins)
    return min(1.0, float(np.abs(first - second).sum() / 2))


def l_infinity(p: Any, q: Any, *, bins: Bins = None) -> float:
    """Return the largest difference of a bin's shares, in [0, 1]."""
    first, second = shares(p, q, bins)
    return float(np.abs(first - second).max())
