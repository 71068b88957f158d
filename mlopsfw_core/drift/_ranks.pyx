"""One walk over two sorted samples, from which every rank statistic follows.

The pooled values are visited once, tie group by tie group; each statistic's own file turns the sums into its value and its p-value.
Sums of whole numbers are kept whole (128 bits), so that nothing cancels in samples of any size.
"""

from __future__ import annotations

from typing import NamedTuple

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    typedef struct {
      int64_t above, below;          /* the largest i*n - j*m and j*m - i*n */
      double area, square;           /* integrals of |gap| and gap^2, gap = i*n - j*m */
      double anderson;               /* Scholz & Stephens' sum, midrank version, without its front factor */
      __int128 x_spread, y_spread;   /* sum over a sample of (2 midrank - 2 own rank)^2 */
      __int128 x_ranks;              /* sum over the first sample of 2 midrank */
      __int128 tie_cubes;            /* sum over tie groups of t^3 - t */
    } walk_sums;

    /* Sum over k = 1..a of (c - 2k)^2, for a ties of own ranks before+1.. and doubled midrank c + 2 before. */
    static inline __int128 spread(int64_t a, __int128 c) {
      return a * c * c - 2 * c * a * (a + 1) + (__int128)2 * a * (a + 1) * (2 * a + 1) / 3;
    }

    /* Take one group of ties, `a` of x and `b` of y, after i0 and j0 values. */
    static inline void take_group(walk_sums *s, int64_t i0, int64_t j0, int64_t a, int64_t b, int64_t m, int64_t total) {
      int64_t t = a + b;
      __int128 doubled = 2 * (__int128)(i0 + j0) + t + 1;  /* twice the midrank */
      if (a) { s->x_spread += spread(a, doubled - 2 * i0); s->x_ranks += doubled * a; }
      if (b) s->y_spread += spread(b, doubled - 2 * j0);
      if (t > 1) s->tie_cubes += (__int128)t * t * t - t;
      /* B is the pooled midrank less a half, M the first sample's: twice B and twice N M - B m are whole. */
      double twice_b = (double)(2 * (i0 + j0) + t), lead = (double)(total * (2 * i0 + a) - (2 * (i0 + j0) + t) * m);
      double spare = twice_b * (2.0 * total - twice_b) - (double)total * t;
      if (spare > 0) s->anderson += t * lead * lead / spare;
    }

    static void walk_ranks(const double *x, int64_t m, const double *y, int64_t n, walk_sums *out) {
      int64_t i = 0, j = 0, gap = 0, total = m + n;
      double value = 0;
      walk_sums s = {0};
      while (i < m || j < n) {
        /* Runs without ties, in blocks: one value at a time, without a branch on whose it is. Partial sums of a block keep
           rounding small, and its whole sums fit 64 bits below 10^8 values. */
        int64_t stop_i = i + 256 < m - 1 ? i + 256 : m - 1, stop_j = j + 256 < n - 1 ? j + 256 : n - 1;
        double area = 0, square = 0, anderson = 0;
        int64_t x_spread = 0, y_spread = 0, x_ranks = 0, above = s.above, below = s.below, tied = total > 100000000;
        while (!tied && i < stop_i && j < stop_j) {
          int64_t from_x = x[i] < y[j], next_i = i + from_x, next_j = j + 1 - from_x;
          double head = from_x ? x[i] : y[j], width = head - value, high = (double)gap;
          tied = x[next_i] == head || y[next_j] == head;
          if (tied) break;
          if (gap) { area += (gap < 0 ? -high : high) * width; square += high * high * width; }
          value = head;
          int64_t place = i + j;
          x_spread += from_x ? 4 * j * j : 0;
          y_spread += from_x ? 0 : 4 * i * i;
          x_ranks += from_x ? 2 * place + 2 : 0;
          double twice_b = (double)(2 * place + 1), lead = (double)(total * (2 * i + from_x) - (2 * place + 1) * m);
          anderson += lead * lead / (twice_b * (2.0 * total - twice_b) - (double)total);
          gap += from_x ? n : -m;
          above = gap > above ? gap : above;
          below = -gap > below ? -gap : below;
          i = next_i;
          j = next_j;
        }
        s.area += area; s.square += square; s.anderson += anderson;
        s.x_spread += x_spread; s.y_spread += y_spread; s.x_ranks += x_ranks; s.above = above; s.below = below;
        if (!tied && i < m - 1 && j < n - 1) continue;
        /* One group of ties, or a value at an end. */
        double head = j >= n || (i < m && x[i] <= y[j]) ? x[i] : y[j];
        int64_t i0 = i, j0 = j;
        if (gap && head > value) {
          double width = head - value, high = (double)gap;
          s.area += (gap < 0 ? -high : high) * width;
          s.square += high * high * width;
        }
        value = head;
        while (i < m && x[i] == value) ++i;
        while (j < n && y[j] == value) ++j;
        gap += (i - i0) * n - (j - j0) * m;
        if (gap > s.above) s.above = gap;
        if (-gap > s.below) s.below = -gap;
        take_group(&s, i0, j0, i - i0, j - j0, m, total);
      }
      *out = s;
    }
    """
    ctypedef struct walk_sums:
        int64_t above, below
        double area, square, anderson

    void walk_ranks(const double* x, int64_t m, const double* y, int64_t n, walk_sums* out) noexcept nogil


cdef extern from *:
    """
    enum { X_SPREAD, Y_SPREAD, X_RANKS, TIE_CUBES };
    static __int128 whole_of(const walk_sums *s, int which) {
      return which == X_SPREAD ? s->x_spread : which == Y_SPREAD ? s->y_spread : which == X_RANKS ? s->x_ranks : s->tie_cubes;
    }
    static int64_t high_word(const walk_sums *s, int which) { return (int64_t)(whole_of(s, which) >> 64); }
    static uint64_t low_word(const walk_sums *s, int which) { return (uint64_t)whole_of(s, which); }
    """
    int X_SPREAD, Y_SPREAD, X_RANKS, TIE_CUBES
    int64_t high_word(const walk_sums* s, int which) noexcept nogil
    uint64_t low_word(const walk_sums* s, int which) noexcept nogil


class RankSums(NamedTuple):
    """What one walk yields, for samples of m and n values; gap is i n - j m, the distance of the step functions times m n.

    above, below: the gap's largest value, and its smallest with the sign turned. area, square: the integrals of |gap| and of
    gap^2. anderson: Scholz & Stephens' sum of squares. x_spread, y_spread: sums of (2 midrank - 2 own rank)^2. x_ranks: the
    first sample's sum of doubled midranks. tie_cubes: the sum of t^3 - t over groups of t ties.
    """

    m: int
    n: int
    above: int
    below: int
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
    with nogil:
        walk_ranks(&x[0], m, &y[0], n, &sums)
    wholes = [(int(high_word(&sums, which)) << 64) + int(low_word(&sums, which)) for which in (X_SPREAD, Y_SPREAD, X_RANKS, TIE_CUBES)]
    return RankSums(m, n, sums.above, sums.below, sums.area, sums.square, sums.anderson, *wholes)
