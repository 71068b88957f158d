"""Embeddings: lists of numbers of one length, by their norms, their mean in each dimension, and eight random projections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ._moments import merge_moments, moments_of
from ._sketches import mix
from .moments import NOTHING, Sums

DIRECTIONS = 8
WIDEST = 128
"""Means are kept up to this many dimensions; of wider vectors the projections alone."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of `width` finite numbers each; what differs from that is counted in `odd`."""

    width: int
    count: int
    odd: int
    sums: tuple[float, ...]
    projections: tuple[Sums, ...]

    @property
    def means(self) -> tuple[float, ...] | None:
        """The mean in each dimension; None where there are more than 128, or no vectors."""
        return tuple(total / self.count for total in self.sums) if self.count and self.sums else None

    def merge(self, other: Vectors) -> Vectors:
        """Return the profile of both samples together.

        Raises:
            ValueError: their vectors differ in length.
        """
        if not self.count or not other.count:
            filled = self if self.count else other
            return Vectors(filled.width, filled.count, self.odd + other.odd, filled.sums, filled.projections)
        if self.width != other.width:
            raise ValueError(f"vectors of {self.width} and of {other.width} numbers do not merge")
        totals = tuple(a + b for a, b in zip(self.sums, other.sums, strict=True))
        both = tuple(merge_moments(a, b) for a, b in zip(self.projections, other.projections, strict=True))
        return Vectors(self.width, self.count + other.count, self.odd + other.odd, totals, both)


EMPTY = Vectors(0, 0, 0, (), (NOTHING,) * DIRECTIONS)


@cache
def directions(width: int) -> Floats:
    """Return `width` rows of eight signs, each over the root of the width; the same on every machine."""
    words = np.array([mix(row + (width << 32)) for row in range(width)], dtype=np.uint64)
    bits = (words[:, None] >> np.arange(DIRECTIONS, dtype=np.uint64)) & np.uint64(1)
    signs: Floats = (bits.astype(np.float64) * 2 - 1) / np.sqrt(max(width, 1))
    return signs


def profile_vectors(rows: Floats, odd: int) -> tuple[Vectors, Floats]:
    """Profile an array with a finite vector in each row; returns the norms too."""
    if not len(rows):
        return Vectors(0, 0, odd, (), (NOTHING,) * DIRECTIONS), np.zeros(0)
    width = rows.shape[1]
    sums = tuple(rows.sum(axis=0).tolist()) if width <= WIDEST else ()
    along = np.stack([(rows * direction).sum(axis=1) for direction in directions(width).T])
    projections = tuple(moments_of(np.ascontiguousarray(line)) for line in along)
    return Vectors(width, len(rows), odd, sums, projections), np.sqrt((rows * rows).sum(axis=1))
