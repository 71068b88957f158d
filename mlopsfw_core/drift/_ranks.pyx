"""One walk over two sorted samples, from which every rank statistic follows.

The pooled values are visited once; each statistic's own file turns the sums into its value and its p-value. Sums of whole numbers are
kept whole (128 bits), so that nothing cancels in samples of any size.

A merge waits on itself: which value comes next is known only when the last comparison is. So the pooled order is cut into
four stretches that are merged side by side, a block of steps at a time, and the sums of a block are then taken four lanes abreast.
Only values without ties go that way; a block that meets a tie is walked again group by group.
"""

from __future__ import annotations

from typing import NamedTuple

from libc.stdint cimport int64_t, uint64_t

cdef extern from "mlopsfw_core/drift/_ranks.h":
    ctypedef struct reach:
        int64_t gap

    ctypedef struct walk_sums:
        reach above, below
        double area, square, anderson

    void walk_ranks(
        const double* x, int64_t m, const double* y, int64_t n, walk_sums* out, double* above_at, double* below_at
    ) noexcept nogil


cdef extern from "mlopsfw_core/drift/_ranks.h":
    int X_SPREAD, Y_SPREAD, X_RANKS, TIE_CUBES
    int64_t high_word(const walk_sums* s, int which) noexcept nogil
    uint64_t low_word(const walk_sums* s, int which) noexcept nogil


class RankSums(NamedTuple):
    """What one walk yields, for samples of m and n values; gap is i n - j m, the distance of the step functions times m n.

    above, below: the gap's largest value, and its smallest with the sign turned; above_at, below_at: the first values at which
    they are reached, NaN for 0. area, square: the integrals of |gap| and of
    gap^2. anderson: Scholz & Stephens' sum of squares. x_spread, y_spread: sums of (2 midrank - 2 own rank)^2. x_ranks: the
    first sample's sum of doubled midranks. tie_cubes: the sum of t^3 - t over groups of t ties.
    """

    m: int
    n: int
    above: int
    below: int
    above_at: float
    below_at: float
    area: float
    square: float
    anderson: float
    x_spread: int
    y_spread: int
    x_ranks: int
    tie_cubes: int


def rank_sums(const double[::1] x, const double[::1] y) -> RankSums:
    """Walk over two sorted samples, neither empty, and return their `RankSums`."""
    cdef walk_sums sums
    cdef int64_t m = x.shape[0], n = y.shape[0]
    cdef double above_at, below_at
    with nogil:
        walk_ranks(&x[0], m, &y[0], n, &sums, &above_at, &below_at)
    wholes = [(int(high_word(&sums, which)) << 64) + int(low_word(&sums, which)) for which in (X_SPREAD, Y_SPREAD, X_RANKS, TIE_CUBES)]
    extremes = sums.above.gap, sums.below.gap, above_at, below_at
    return RankSums(m, n, *extremes, sums.area, sums.square, sums.anderson, *wholes)
