"""The population stability index."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._bins import Bins, binned
from ._special import chi2_isf


def psi(reference: Any, current: Any, bins: Bins = None) -> float:
    """Return the population stability index: sum over bins of (q - p) ln(q / p).

    It is Jeffreys' symmetrised Kullback-Leibler divergence of the shares p (reference) and q (current). Where any bin of either
    sample is empty, half a count is added to every bin of both, so that the index is finite and sampling alone moves it
    little (Krichevsky & Trofimov's estimate).

    Args:
        reference: counts, or a sample to be binned; its quantiles decide the edges.
        current: the same for the sample that is looked at.
        bins: see `Bins`; 10 is the custom.

    Returns:
        The index, at least 0; 0 for equal shares. Nulls and NaN are left out.

    Raises:
        ValueError: a sample is empty, or counts do not match.
    """
    first, second = binned(reference, current, bins)
    p, q = first / first.sum(), second / second.sum()
    if not p.all() or not q.all():
        first, second = first + 0.5, second + 0.5
        p, q = first / first.sum(), second / second.sum()
    return float(np.sum((q - p) * (np.log(q) - np.log(p))))


def psi_threshold(n: int, m: int, bins: int, alpha: float = 0.05) -> float:
    """Return the value that PSI passes with probability `alpha` when nothing has changed.

    Under no shift PSI is near (1/n + 1/m) times a chi-squared variable with bins - 1 degrees of freedom (Yurdakul & Naranjo
    2020); the custom of 0.1 forgets n and m.
    """
    return (1 / n + 1 / m) * chi2_isf(alpha, bins - 1)
