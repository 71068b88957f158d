"""Round numbers as people write them in a contract: to two digits, to the side that lets more rows pass."""

from __future__ import annotations

import math


def rounded_up(share: float) -> float:
    """Return a share of rows with two digits, rounded up, at most 1."""
    if not 0 < share < 1:
        return float(share >= 1)
    size = 10.0 ** (math.floor(math.log10(share)) - 1)
    return min(float(f"{math.ceil(share / size - 1e-9) * size:.2g}"), 1.0)


def rounded_down(count: float) -> int:
    """Return a number of rows with two digits, rounded down."""
    size = 10 ** max(math.floor(math.log10(max(count, 1))) - 1, 0)
    return int(count // size * size)


def outward(bound: float, spread: float, *, down: bool, integer: bool) -> int | float | str:
    """Return the bound of a range, rounded away from the values to two digits of their spread; an open end if it is no number."""
    if not (math.isfinite(bound) and math.isfinite(spread)):
        return ""
    size = 10.0 ** max(math.floor(math.log10(spread or abs(bound) or 1.0)) - 1, -300)
    size = max(size, 1.0) if integer else size
    steps = float(bound) / size
    if not math.isfinite(steps):
        return ""
    rounded = (math.floor if down else math.ceil)(steps) * (int(size) if integer else size)
    return int(rounded) if integer else float(f"{rounded:.12g}")
