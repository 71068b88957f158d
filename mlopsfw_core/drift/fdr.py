"""Control of the false discovery rate over many tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._samples import Floats


def benjamini_hochberg(pvalues: ArrayLike) -> Floats:
    """Return adjusted p-values: rejecting those <= alpha keeps the false discovery rate at most alpha.

    Benjamini & Hochberg 1995: q_(i) = min over j >= i of p_(j) k / j, for k p-values in ascending order. The rate holds
    for independent and for positively dependent tests; if every null is true it is the chance of any alarm at all.

    Args:
        pvalues: one for each test, in [0, 1].

    Returns:
        The adjusted p-values in the order given.
    """
    p = np.asarray(pvalues, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values are one-dimensional and in [0, 1]")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * p.size / np.arange(1, p.size + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
