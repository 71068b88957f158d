"""What every two-sample statistic does first: numbers without the missing ones, in order.

Nulls and NaN are missing and are left out; infinities are values. The caller's data is never changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlopsfw_core._buffers import numeric_values
from mlopsfw_core._sorting import ascending

from ._levels import sorted_levels

Floats = NDArray[np.float64]


TINY, HUGE = 1e-100, 1e100
"""Between these, squares of numbers and their sums are far from both ends of float64."""


class Tested(NamedTuple):
    """A test statistic and its p-value."""

    statistic: float
    pvalue: float


def present_values(column: Any) -> Floats:
    """Return a column's numbers in their order, without nulls and NaN."""
    values, _ = numeric_values(column)
    missing = np.isnan(values)
    return values[~missing] if missing.any() else values


def ordered(values: Floats) -> Floats:
    """Return numbers in ascending order, without NaN, as a fresh array."""
    counted = sorted_levels(values)
    return ascending(values) if counted is None else counted


def sorted_values(column: Any) -> Floats:
    """Return a column's numbers in ascending order, without nulls and NaN, as a fresh array."""
    values, _ = numeric_values(column)
    return ordered(values)


def nonempty(statistic: str, *samples: Floats) -> None:
    """Raise ValueError where a distance is asked of an empty sample."""
    for position, sample in enumerate(samples, start=1):
        if not sample.size:
            message = f"{statistic}: sample {position} is empty after leaving out nulls and NaN; a distance needs values in both"
            raise ValueError(message)


def near_one(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Bring finite samples whose squares would overflow or vanish near 1, by one power of two: for statistics without a unit."""
    largest = max(float(np.abs(first).max(initial=0)), float(np.abs(second).max(initial=0)))
    if not largest or TINY < largest < HUGE:
        return first, second
    exponent = -int(np.frexp(largest)[1])
    return np.ldexp(first, exponent), np.ldexp(second, exponent)
