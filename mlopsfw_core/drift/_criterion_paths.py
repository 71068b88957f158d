"""The exact null distribution of the Cramér-von Mises criterion, by counting lattice paths in whole numbers.

Every ordering of two samples is a path from (0, 0) to (m, n); its criterion is the sum over the nodes it visits of (a x - b y)^2.
The counts are kept by value of the criterion so far (Anderson 1962; Xiao, Gordon & Yakovlev 2006, algorithm 1), in arrays. A
value from which every way onward ends below the border, or none does, leaves the arrays at once: near either tail few are left.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb, lcm
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Grid = list[list[int]]


class Ways(NamedTuple):
    """How many paths have the criterion start, start + 1, and so on when they reach a node."""

    start: int
    counts: NDArray[Any]


def _steps(m: int, n: int) -> Grid:
    """Return what a path pays at node [y][x]: the squared gap of the two distribution functions in units of 1 / lcm."""
    a, b = lcm(m, n) // m, lcm(m, n) // n
    return [[(a * x - b * y) ** 2 for x in range(m + 1)] for y in range(n + 1)]


def _ahead(steps: Grid, choose: Callable[[list[int]], int]) -> Grid:
    """Return the least or most that a path still pays after each node."""
    rows, columns = len(steps), len(steps[0])
    ahead = [[0] * columns for _ in steps]
    for y in reversed(range(rows)):
        for x in reversed(range(columns)):
            onward = [(y + 1, x)] * (y + 1 < rows) + [(y, x + 1)] * (x + 1 < columns)
            ahead[y][x] = choose([steps[j][i] + ahead[j][i] for j, i in onward] or [0])
    return ahead


def _met(first: Ways, second: Ways) -> Ways:
    """Add the paths that reach a node from its two sides."""
    if not first.counts.size or not second.counts.size:
        return first if first.counts.size else second
    start = min(first.start, second.start)
    stop = max(ways.start + ways.counts.size for ways in (first, second))
    counts = np.zeros(stop - start, dtype=first.counts.dtype)
    for ways in (first, second):
        counts[ways.start - start : ways.start - start + ways.counts.size] += ways.counts
    return Ways(start, counts)


def paths_below(border: int, m: int, n: int) -> int:
    """Return how many of the comb(m + n, m) orderings have a criterion, in units of 1 / lcm(m, n)^2, below `border`."""
    steps = _steps(m, n)
    least, most = _ahead(steps, min), _ahead(steps, max)
    none = Ways(0, np.zeros(0, dtype=np.uint64 if comb(m + n, m) < 2**64 else object))
    row = [Ways(0, np.ones(1, dtype=none.counts.dtype))] + [none] * m
    below = 0
    for y in range(n + 1):
        left = none
        for x in range(m + 1):
            start, counts = _met(left, row[x])
            start += steps[y][x]
            sure = min(max(border - most[y][x] - start, 0), counts.size)
            below += int(counts[:sure].sum()) * comb(m - x + n - y, m - x)
            row[x] = left = Ways(start + sure, counts[sure : max(border - least[y][x] - start, sure)])
    return below
