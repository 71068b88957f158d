"""The Wasserstein-1 (earth mover's) distance on the line.

W1 = integral of |F(x) - G(x)| dx (Vallender 1974), exact for two empirical distributions: one walk over both sorted
samples. Name and arguments are those of `scipy.stats.wasserstein_distance`.
"""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.math cimport INFINITY, fabs
from libc.stdint cimport int64_t

from ._samples import nonempty, sorted_values
from ._weights import weighted_steps

cnp.import_array()

cdef int64_t _BLOCK = 512


cdef double _walk(const double* x, int64_t x_end, const double* y, int64_t y_end, int64_t n, int64_t m) noexcept nogil:
    """Sum |i n - j m| times the length of each piece, over finite values; over m n that is the distance.

    One value a step, without a branch: ties make pieces of no length. Partial sums of a block of steps keep the rounding error of
    millions of terms near that of a few hundred.
    """
    cdef int64_t i = 0, j = 0, gap = 0, block, from_x
    cdef double value = min(x[0], y[0]), head, total = 0, part
    while i < x_end and j < y_end:
        part = 0
        # No step of a block can pass an end, so that none needs to look for it.
        for block in range(min(_BLOCK, x_end - i, y_end - j)):
            from_x = x[i] <= y[j]
            head = min(x[i], y[j])
            part += fabs(<double> gap) * (head - value)
            value = head
            i += from_x
            j += 1 - from_x
            gap += (-from_x & (n + m)) - m
        total += part
    return total + _rest(x + i, x_end - i, n, gap, value) + _rest(y + j, y_end - j, -m, gap, value)


cdef double _rest(const double* x, int64_t count, int64_t step, int64_t gap, double value) noexcept nogil:
    """Sum over what is left of one sample once the other is spent."""
    cdef int64_t i
    cdef double total = 0
    for i in range(count):
        total += fabs(<double> gap) * (x[i] - value)
        value = x[i]
        gap += step
    return total


def sorted_distance(const double[::1] x, const double[::1] y) -> float:
    """Return W1 of two sorted, non-empty samples; infinite where they hold different shares of an infinity."""
    cdef int64_t m = x.shape[0], n = y.shape[0], x_low = 0, y_low = 0, x_high = m, y_high = n
    cdef double total
    while x_low < m and x[x_low] == -INFINITY:
        x_low += 1
    while y_low < n and y[y_low] == -INFINITY:
        y_low += 1
    while x_high > x_low and x[x_high - 1] == INFINITY:
        x_high -= 1
    while y_high > y_low and y[y_high - 1] == INFINITY:
        y_high -= 1
    if x_low * n != y_low * m or (m - x_high) * n != (n - y_high) * m:
        return float("inf")
    if x_low == x_high or y_low == y_high:
        return 0.0
    with nogil:
        total = _walk(&x[x_low], x_high - x_low, &y[y_low], y_high - y_low, n, m)
    return total / m / n


def wasserstein_distance(u_values, v_values, u_weights=None, v_weights=None) -> float:
    """Return the Wasserstein-1 distance of two samples, in the unit of the values.

    Args:
        u_values: the first sample; any column of numbers, in any order.
        v_values: the second sample.
        u_weights: a weight for each value of the first, not negative, or None for equal ones. Weight 0 means absent.
        v_weights: the same for the second.

    Returns:
        The distance. Nulls and NaN are left out. Equal shares of an infinity in both cost nothing, different ones make the
        distance infinite.

    Raises:
        ValueError: a sample is empty, or weights do not fit their values.
    """
    if u_weights is None and v_weights is None:
        u, v = sorted_values(u_values), sorted_values(v_values)
        nonempty("wasserstein_distance", u, v)
        return sorted_distance(u, v)
    points, gaps = weighted_steps(u_values, u_weights, v_values, v_weights, "wasserstein_distance")
    with np.errstate(invalid="ignore"):
        return float(np.sum(np.where(gaps[:-1] == 0, 0.0, np.abs(gaps[:-1]) * np.diff(points))))
