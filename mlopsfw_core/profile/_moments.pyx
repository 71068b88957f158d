"""Count, extremes and central moments of finite numbers in one pass, and their merging.

Two samples' sums of powers about their means combine by Pébay's formulas (Sandia report SAND2008-6212, eqs. 2.1 and 3.1, which extend
Chan, Golub and LeVeque 1979). Blocks that fit the first cache are read twice, for the mean and about it, and merged. Sums run in
four fixed lanes, so that the result does not depend on the machine's vectors.
"""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t

cnp.import_array()


cdef extern from "mlopsfw_core/profile/_moments.h":
    void lane_sums(const double* v, int64_t n, double* total, double* low, double* high) noexcept nogil
    void lane_powers(const double* v, int64_t n, double centre, double* out) noexcept nogil
    bint all_finite(const double* v, int64_t n) noexcept nogil


cdef struct Sums:
    int64_t count
    double low, high, mean, m2, m3, m4


cdef int64_t _BLOCK = 2048  # values: 16 KiB, which the first cache holds


cdef Sums _of_block(const double* v, int64_t n) noexcept nogil:
    """Moments of up to 2,048 finite values."""
    cdef Sums out
    cdef double total, p[4], shift
    cdef int64_t i
    out.count = n
    lane_sums(v, n, &total, &out.low, &out.high)
    out.low, out.high = out.low + 0.0, out.high + 0.0  # one zero
    out.mean = total / n
    if not isfinite(out.mean):  # the sum left the range of a float, the mean does not
        out.mean = 0
        for i in range(n):
            out.mean += v[i] / n
    lane_powers(v, n, out.mean, p)
    # What the rounded mean left over is moved into it.
    shift = p[0] / n
    out.mean += shift
    out.m2 = p[1] - n * shift * shift
    out.m3, out.m4 = p[2] - 3 * shift * p[1], p[3] - 4 * shift * p[2]
    return out


cdef Sums _merged(Sums a, Sums b) noexcept nogil:
    """Moments of two samples together."""
    cdef Sums out
    cdef double n, na, nb, d, dn
    if a.count == 0:
        return b
    if b.count == 0:
        return a
    out.count = a.count + b.count
    n, na, nb = <double> out.count, <double> a.count, <double> b.count
    d = b.mean - a.mean
    dn = b.mean / n - a.mean / n
    out.low, out.high = min(a.low, b.low), max(a.high, b.high)
    out.mean = a.mean + dn * nb if isfinite(d) else a.mean * (na / n) + b.mean * (nb / n)
    out.m2 = a.m2 + b.m2 + d * dn * na * nb
    out.m3 = a.m3 + b.m3 + d * dn * dn * na * nb * (na - nb) + 3 * dn * (na * b.m2 - nb * a.m2)
    out.m4 = (
        a.m4 + b.m4 + d * dn * dn * dn * na * nb * (na * na - na * nb + nb * nb)
        + 6 * dn * dn * (na * na * b.m2 + nb * nb * a.m2) + 4 * dn * (na * b.m3 - nb * a.m3)
    )
    return out


def moments_of(const double[::1] values):
    """Return (count, low, high, mean, m2, m3, m4) of finite values; all zeros of none."""
    cdef Sums total = Sums(0, 0, 0, 0, 0, 0, 0)
    cdef int64_t start = 0, n = values.shape[0]
    with nogil:
        while start < n:
            total = _merged(total, _of_block(&values[start], min(_BLOCK, n - start)))
            start += _BLOCK
    return total.count, total.low, total.high, total.mean, total.m2, total.m3, total.m4


def merge_moments(a, b):
    """Merge two such tuples; the same for either order, since the operands are put in order first."""
    if tuple(b) < tuple(a):
        a, b = b, a
    cdef Sums out = _merged(Sums(a[0], a[1], a[2], a[3], a[4], a[5], a[6]), Sums(b[0], b[1], b[2], b[3], b[4], b[5], b[6]))
    return out.count, out.low, out.high, out.mean, out.m2, out.m3, out.m4


def split_finite(cnp.ndarray values, valid=None):
    """Part a contiguous float64 array into its finite values and counts of the others.

    Args:
        values: numbers, undefined where null.
        valid: boolean array of the rows that are not null; None when all are.

    Returns:
        (finite, nulls, nan, neg_inf, pos_inf): `finite` is `values` itself where nothing had to be left out.
    """
    cdef const double[::1] v = values
    cdef int64_t n = v.shape[0], i, kept = 0, nulls = 0, nan = 0, low = 0, high = 0
    cdef const uint8_t[::1] ok
    cdef bint masked = valid is not None, clean
    cdef double[::1] out
    if n == 0:
        return values, 0, 0, 0, 0
    if not masked:
        with nogil:
            clean = all_finite(&v[0], n)
        if clean:
            return values, 0, 0, 0, 0
    else:
        ok = valid.view(np.uint8)
    finite = np.empty(n)
    out = finite
    with nogil:
        for i in range(n):
            if masked and not ok[i]:
                nulls += 1
            elif isfinite(v[i]):
                out[kept] = v[i]
                kept += 1
            else:
                nan += v[i] != v[i]
                low += v[i] < 0
                high += v[i] > 0
    return finite[:kept], nulls, nan, low, high
