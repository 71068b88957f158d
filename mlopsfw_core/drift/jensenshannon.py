"""The Jensen-Shannon distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._bins import Bins, shares


def jensenshannon(p: Any, q: Any, base: float | None = None, *, bins: Bins = None) -> float:
    """Return the Jensen-Shannon distance, the square root of the divergence; as `scipy.spatial.distance.jensenshannon`.

    With m = (p + q) / 2 the divergence is (KL(p, m) + KL(q, m)) / 2 (Lin 1991). It is summed as
    m (2 t artanh t + ln(1 - t^2)) / 2 with t = (p - q) / (p + q), which loses nothing where p and q are nearly equal.

    Args:
        p: shares or counts (they are normalised), or a sample to be binned.
        q: the same for the other sample.
        base: of the logarithm; None is e. With base 2 the distance is at most 1.
        bins: see `Bins`.

    Returns:
        The distance, 0 for equal shares. An empty bin needs no rule.

    Raises:
        ValueError: a sample is empty, or counts do not match.
    """
    first, second = shares(p, q, bins)
    middle = (first + second) / 2
    used = middle > 0
    t = (first[used] - second[used]) / (2 * middle[used])
    disjoint = np.abs(t) == 1
    inner = np.where(disjoint, 0.0, t)
    terms = np.where(disjoint, 2 * np.log(2.0), 2 * inner * np.arctanh(inner) + np.log1p(-inner * inner))
    divergence = max(0.0, float(np.sum(middle[used] * terms)) / 2)
    return float(np.sqrt(divergence if base is None else divergence / np.log(base)))
