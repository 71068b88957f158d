"""Pearson's chi-squared test of homogeneity for two samples, and how sparse tables are pooled for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._bins import Bins, binned
from ._samples import Floats
from ._special import chi2_sf, hypergeometric_two_sided

MAX_FISHER = 1_000_000
"""Tables with more rows than this take chi-squared's p-value also for two cells: the two agree there, and Fisher's costs time."""


class Chi2Result(NamedTuple):
    """The statistic, its p-value and its degrees of freedom."""

    statistic: float
    pvalue: float
    dof: int


def pool_rare(first: Floats, second: Floats, min_expected: float) -> tuple[Floats, Floats]:
    """Put cells with fewer than `min_expected` expected counts in the smaller sample into one cell.

    The choice looks at the sum of both samples only, so that under the null it favours neither; cells picked by one
    sample's counts would drift towards the mean in the other and be taken for drift.
    """
    pooled = first + second
    scale = min(first.sum(), second.sum()) / pooled.sum()
    rare = pooled * scale < min_expected
    if not rare.any():
        return first, second
    if pooled[rare].sum() * scale < min_expected and not rare.all():
        rare[np.argmin(np.where(rare, np.inf, pooled))] = True
    return np.append(first[~rare], first[rare].sum()), np.append(second[~rare], second[rare].sum())


def chi2_2samp(reference: Any, current: Any, bins: Bins = None, *, min_expected: float = 0.0) -> Chi2Result:
    """Test whether two samples fall into the bins alike (chi-squared test of homogeneity).

    Both samples count as samples: taking the reference as exact rejects far too often when it is not much larger. The
    statistic is sum over cells of (a sqrt(m/n) - b sqrt(n/m))^2 / (a + b), the two-row case of Pearson's, with cells - 1
    degrees of freedom and no continuity correction.

    Args:
        reference: counts, or a sample to be binned; `bins="categories"` counts texts.
        current: the same for the other sample.
        bins: see `Bins`.
        min_expected: cells that expect fewer counts than this in the smaller sample are pooled; 5 is Cochran's rule.

    Returns:
        Chi2Result. Cells empty in both samples do not count; with one cell left there is nothing to compare: 0, 1, 0.

    Raises:
        ValueError: a sample is empty, or counts do not match.
    """
    first, second = binned(reference, current, bins)
    used = first + second > 0
    first, second = pool_rare(first[used], second[used], min_expected)
    if first.size <= 1:
        return Chi2Result(0.0, 1.0, 0)
    n, m = first.sum(), second.sum()
    statistic = float(np.sum((first * np.sqrt(m / n) - second * np.sqrt(n / m)) ** 2 / (first + second)))
    return Chi2Result(statistic, chi2_sf(statistic, first.size - 1), first.size - 1)


def homogeneity_pvalue(first: Floats, second: Floats) -> float:
    """Return a p-value for whole counts that holds for small ones too: Fisher's exact for two cells, else chi-squared."""
    if first.size - 1 == 1 and first.sum() + second.sum() <= MAX_FISHER:
        row, column, total = first.sum(), first[0] + second[0], first.sum() + second.sum()
        return hypergeometric_two_sided(int(first[0]), int(row), int(column), int(total))
    return chi2_2samp(first, second).pvalue
