"""Confidence intervals of a reference's mean and share: what the detectors with a stated rate take as "no change"."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
from numpy.typing import NDArray


def mean_interval(values: NDArray[np.float64], error: float) -> tuple[float, float]:
    """Return an interval that holds the mean of values in [0, 1] with probability 1 - error.

    mean ± (sqrt(2 V ln(4/error) / n) + 7 ln(4/error) / (3 (n - 1))), V the sample variance: the empirical Bernstein bound of Maurer and
    Pontil (COLT 2009, Theorem 4), on both sides.
    """
    n = values.size
    if n < 2:  # noqa: PLR2004 - one value has no variance
        return 0.0, 1.0
    mean, nats = float(values.mean()), log(4 / error)
    margin = sqrt(2 * float(values.var(ddof=1)) * nats / n) + 7 * nats / (3 * (n - 1))
    return max(0.0, mean - margin), min(1.0, mean + margin)


def share_interval(ones: int, rows: int, error: float) -> tuple[float, float]:
    """Return an interval that holds a proportion, of which `ones` of `rows` were seen, with probability 1 - error.

    All p with n kl(ones/n, p) <= ln(2/error): Chernoff's bound on both binomial tails, kl the relative entropy.
    """
    if not rows:
        return 0.0, 1.0
    share, limit = ones / rows, log(2 / error) / rows
    return _edge(share, 0.0, limit), _edge(share, 1.0, limit)


def relative_entropy(p: float, q: float) -> float:
    """Return kl(p, q) of two proportions, in nats."""
    first = p * log(p / q) if p else 0.0
    return first + ((1 - p) * log((1 - p) / (1 - q)) if p < 1 else 0.0)


def _edge(share: float, end: float, limit: float) -> float:
    """Find where the relative entropy from `share` reaches the limit on the way to `end`, by bisection from the far side."""
    if share == end:
        return end
    inner, outer = share, end
    for _ in range(60):
        middle = (inner + outer) / 2
        if middle in (0.0, 1.0) or relative_entropy(share, middle) > limit:
            outer = middle
        else:
            inner = middle
    return outer
