"""Intervals of anything that is computed from rows, by drawing clusters of rows again. Needs only NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

FEWEST = 10  # clusters: the spread of fewer says little
Z = 1.959963984540054  # of 0.975
_REPLICATES = 200
_NEEDED = 0.9  # of the replicates in which a value must be defined

Estimates = Callable[[np.ndarray | None], Mapping[str, float]]


def intervals(
    estimates: Estimates, clusters: np.ndarray, *, seed: int = 0, z: float = Z
) -> dict[str, tuple[float, float]]:
    """Return the 95% interval of each estimate, by the cluster bootstrap (Cameron, Gelbach & Miller, 2008, section 3.1).

    The standard error is the spread of 200 replicates, each of which draws as many clusters as there are with replacement; the ends are
    those of Student's t with one degree of freedom less than there are clusters.

    Args:
        estimates: Returns name → value, given how often each row counts, float64 `[rows]`, or None for once. A name may be missing where
            its value is undefined.
        clusters: int64 code of each row's cluster, from 0. Rows of one cluster depend on each other.
        seed: Seeds the draws.
        z: The normal quantile of another level than 95%.

    Returns:
        Name → ends. An estimate is left out where there are fewer than 10 clusters, or it is undefined in a tenth of the replicates.
    """
    count = int(clusters.max(initial=-1)) + 1
    if count < FEWEST:
        return {}
    centre, draw = estimates(None), np.random.Generator(np.random.PCG64(seed))
    drawn = (np.bincount(draw.integers(0, count, count), minlength=count) for _ in range(_REPLICATES))
    replicates = [estimates(times[clusters].astype(np.float64)) for times in drawn]
    spread = {name: [each[name] for each in replicates if name in each] for name in centre}
    reach = student_quantile(count - 1, z) * math.sqrt(count / (count - 1))
    return {
        name: (value - reach * error, value + reach * error)
        for name, value in centre.items()
        if len(spread[name]) > _NEEDED * _REPLICATES
        for error in [float(np.std(spread[name], ddof=1))]
    }


def student_quantile(freedom: int, z: float = Z) -> float:
    """Return the quantile of Student's t at the level of a normal quantile, by default 0.975.

    From 9 degrees of freedom on within 0.01% there, and 0.1% at 0.995 (Abramowitz & Stegun, 26.7.5).
    """
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))
