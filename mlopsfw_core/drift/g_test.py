"""The likelihood-ratio (G) test of homogeneity."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._bins import Bins, binned
from ._special import chi2_sf
from .chi2 import Chi2Result, pool_rare


def g_2samp(reference: Any, current: Any, bins: Bins = None, *, min_expected: float = 0.0) -> Chi2Result:
    """Test whether two samples fall into the bins alike (G test, Sokal & Rohlf); sizes may differ.

    G = 2 sum O ln(O / E) over both rows, with E from the margins, against chi-squared with cells - 1 degrees of freedom.

    Args:
        reference: counts, or a sample to be binned; `bins="categories"` counts texts.
        current: the same for the other sample.
        bins: see `_bins.Bins`.
        min_expected: cells that expect fewer counts than this in the smaller sample are pooled.

    Returns:
        Statistic, p-value and degrees of freedom. Cells empty in both do not count; with one cell left: 0, 1, 0.

    Raises:
        ValueError: a sample is empty, or counts do not match.
    """
    first, second = binned(reference, current, bins)
    used = first + second > 0
    first, second = pool_rare(first[used], second[used], min_expected)
    if first.size <= 1:
        return Chi2Result(0.0, 1.0, 0)
    pooled, total = first + second, first.sum() + second.sum()
    statistic = 0.0
    for row in (first, second):
        expected = row.sum() * pooled / total
        ratio = np.divide(row, expected, out=np.zeros_like(expected), where=expected > 0)
        positive = ratio > 0  # a count so small that its ratio is 0 adds nothing that a double could show
        statistic += 2 * float(np.sum(row[positive] * np.log(ratio[positive])))
    statistic = max(0.0, statistic)
    return Chi2Result(statistic, chi2_sf(statistic, first.size - 1), first.size - 1)
