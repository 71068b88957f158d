"""A permutation test for any two-sample statistic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ._samples import Floats, Tested, nonempty, present_values


def permutation_test(
    x: Any,
    y: Any,
    statistic: Callable[[Floats, Floats], float],
    permutations: int = 999,
    *,
    alternative: Literal["greater", "less", "two-sided"] = "greater",
    seed: int | np.random.Generator = 0,
) -> Tested:
    """Test whether two samples are exchangeable, by any statistic; valid whatever the distribution, ties and atoms included.

    p = (b + 1) / (B + 1), with b of B random relabellings at least as extreme (Phipson & Smyth 2010): never 0, never too small.

    Args:
        x: the first sample, any column of numbers.
        y: the second.
        statistic: of two arrays of the samples' sizes; it is not to change them.
        permutations: B. The smallest p-value is 1 / (B + 1).
        alternative: which statistics are extreme: large ones (a distance), small ones, or twice the rarer side.
        seed: of this call's own generator, or a generator. NumPy's global one is never touched.

    Returns:
        The statistic of the samples as they are, and the p-value. Nulls and NaN are left out.

    Raises:
        ValueError: a sample is empty.
    """
    first, second = present_values(x), present_values(y)
    nonempty("permutation_test", first, second)
    rng = np.random.default_rng(seed)
    observed = float(statistic(first, second))
    pooled = np.concatenate([first, second])
    above = below = 0
    tolerance = 1e-12 * abs(observed)  # equal up to rounding counts as equal
    for _ in range(permutations):
        shuffled = rng.permutation(pooled)
        value = float(statistic(shuffled[: first.size], shuffled[first.size :]))
        above += value >= observed - tolerance
        below += value <= observed + tolerance
    tails = {"greater": above, "less": below, "two-sided": min(above, below)}
    share = (tails[alternative] + 1) / (permutations + 1)
    return Tested(observed, min(1.0, 2 * share) if alternative == "two-sided" else share)
