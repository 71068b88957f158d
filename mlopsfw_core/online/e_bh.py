"""Which of many e-values to believe, at a stated share of false discoveries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopsfw_core._buffers import numeric_rows


def e_benjamini_hochberg(e_values: Any, alpha: float = 0.05) -> NDArray[np.bool_]:
    """Select among e-values with a false-discovery rate of at most alpha, however they depend on one another.

    The e-BH procedure (Wang and Ramdas, "False discovery rate control with e-values", JRSS B 84, 2022): with e_[1] >= ... >= e_[K],
    select the k largest for the largest k with e_[k] >= K / (k alpha).

    Args:
        e_values: K numbers of 0 or more, each with expectation at most 1 where nothing changed, such as the `e_value` of one
            detector for each column, at one and the same moment, chosen as one likes. Infinity is overwhelming evidence;
            NaN and null count as none (0). A detection starts a detector's e-value again: give detectors that are
            watched together an `arl` out of reach, such as 1e12.
        alpha: the expected share of false ones among those selected.

    Returns:
        A boolean array of K: selected or not.

    Raises:
        ValueError: an e-value is negative, or alpha is not in (0, 1].
    """
    values, valid = numeric_rows(e_values)
    evidence = np.where(np.isnan(values) if valid is None else ~valid | np.isnan(values), 0.0, values)
    if not 0 < alpha <= 1 or (evidence < 0).any():
        raise ValueError("e_benjamini_hochberg takes e-values of 0 or more, and alpha in (0, 1]")
    count = evidence.size
    ranked = np.sort(evidence)[::-1]
    enough = np.flatnonzero(ranked * np.arange(1, count + 1) * alpha >= count)
    return evidence >= ranked[enough[-1]] if enough.size else np.zeros(count, dtype=bool)
