"""The distributions of the Kolmogorov-Smirnov statistics: one-sample for finite n, and two-sample exactly.

Sources: Simard & L'Ecuyer, "Computing the two-sided Kolmogorov-Smirnov distribution", J. Stat. Software 39(11), 2011;
Marsaglia, Tsang & Wang 2003 (Durbin's matrix); Pelz & Good 1976; Miller 1956; Loader 2000 (binomial masses);
Hodges 1958 and Viehmann 2021, arXiv:2102.08037 (two samples). Pure numbers: no data is read here.
"""

from __future__ import annotations

from libc.math cimport M_PI, ceil, exp, fabs, floor, fmax, log, log1p, pow, sqrt
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from ._special cimport deviance, stirling

cdef int _SMALL = 140          # Simard & L'Ecuyer's border between exact methods and Pelz-Good
cdef int _NODES = 8192         # of the trapezoidal sum that stands for a sum of more terms


# --- one sample, both sides -------------------------------------------------------------------------------------------


def kolmogorov_sf(double d, long long n) -> float:
    """Return P(D_n >= d) for the two-sided one-sample statistic of n values.

    Exact to about 1e-12 for n <= 140; above, Pelz & Good's expansion is within 0.04 / n^2 where z < 1.48, and the upper tail
    keeps its relative precision. The borders are those of SciPy's `kstwo`, so that p-values agree.
    """
    cdef double result
    with nogil:
        result = _kolmogorov_sf(d, n)
    return min(1.0, max(0.0, result))


cdef double _kolmogorov_sf(double d, long long n) noexcept nogil:
    cdef double nd = n * d, z2 = nd * d
    if d >= 1:
        return 0.0
    if nd <= 0.5:
        return 1.0
    if nd >= n - 1:
        return 2 * pow(1 - d, n)
    # Above these borders both one-sided events together are too rare to count (Miller), and never happen from d = 1/2 on.
    if d >= 0.5 or z2 > (4.0 if n <= _SMALL else 2.2):
        return 0.0 if z2 > 370 else 2 * _smirnov_sf(d, n)
    # Pelz & Good's error, 0.04 / n^2, matters below 5,000 values; their expansion is at its worst for small distances.
    if n <= _SMALL or (n <= 5000 and n * pow(d, 1.5) <= 1.4):
        return 1 - _durbin_cdf(d, <int> n)
    return 1 - _pelz_good_cdf(d, n)


cdef double _durbin_cdf(double d, int n) noexcept nogil:
    """P(D_n < d) by Durbin's matrix power, after Marsaglia, Tsang & Wang."""
    cdef int k = <int> ceil(n * d), m = 2 * k - 1, i, j
    cdef double h = k - n * d, result
    cdef double* room = <double*> calloc(3 * m * m, sizeof(double))
    cdef double* base = room
    cdef double* power = room + m * m
    cdef int exponent = 0
    if room == NULL:
        return 0.0
    _durbin_matrix(base, m, h)
    for i in range(m):
        power[i * m + i] = 1.0
    _matrix_power(base, power, room + 2 * m * m, m, n, &exponent)
    result = power[(k - 1) * m + k - 1]
    for i in range(1, n + 1):
        result *= <double> i / n
        if result < 1e-140:
            result *= 1e140
            exponent -= 140
    free(room)
    return result * pow(10.0, exponent)


cdef void _durbin_matrix(double* base, int m, double h) noexcept nogil:
    cdef int i, j, g
    for i in range(m):
        for j in range(m):
            base[i * m + j] = 1.0 if i - j + 1 >= 0 else 0.0
    for i in range(m):
        base[i * m] -= pow(h, i + 1)
        base[(m - 1) * m + i] -= pow(h, m - i)
    base[(m - 1) * m] += pow(2 * h - 1, m) if 2 * h - 1 > 0 else 0.0
    for i in range(m):
        for j in range(m):
            for g in range(1, i - j + 2):
                base[i * m + j] /= g


cdef void _matrix_power(double* base, double* power, double* spare, int m, int n, int* exponent) noexcept nogil:
    """power = base^n, base spent; decimal exponents are kept apart so that nothing overflows."""
    cdef int base_exponent = 0, i
    while n:
        if n & 1:
            _multiply(power, base, spare, m)
            memcpy(power, spare, m * m * sizeof(double))
            exponent[0] += base_exponent
        _multiply(base, base, spare, m)
        memcpy(base, spare, m * m * sizeof(double))
        base_exponent *= 2
        if base[(m // 2) * m + m // 2] > 1e140:
            for i in range(m * m):
                base[i] *= 1e-140
            base_exponent += 140
        n >>= 1


cdef void _multiply(const double* a, const double* b, double* out, int m) noexcept nogil:
    cdef int i, j, k
    for i in range(m):
        for j in range(m):
            out[i * m + j] = 0
        for k in range(m):
            for j in range(m):
                out[i * m + j] += a[i * m + k] * b[k * m + j]


cdef double _pelz_good_cdf(double d, long long n) noexcept nogil:
    """P(D_n < d) by Pelz & Good's expansion to n^(-3/2); equation (10) of Simard & L'Ecuyer.

    The last sum's divisor is 216, not the 108 seen in print: only so does the error against Durbin's matrix fall as n^-2.
    """
    cdef double root = sqrt(<double> n), z = root * d, z2 = z * z, z4 = z2 * z2, z6 = z4 * z2, p2 = M_PI * M_PI
    cdef double k0 = 0, k1 = 0, k2 = 0, k3 = 0, k2b = 0, k3b = 0, q, w, s
    cdef int k
    # Terms fall as exp(-(pi k / z)^2 / 2): 20 are enough for every z in use, below 2.
    for k in range(20):
        q = (k + 0.5) * (k + 0.5)
        w = exp(-p2 * q / (2 * z2))
        k0 += w
        k1 += (p2 * q - z2) * w
        k2 += (6 * z6 + 2 * z4 + p2 * (2 * z4 - 5 * z2) * q + p2 * p2 * (1 - 2 * z2) * q * q) * w
        k3 += (
            p2 * p2 * p2 * q * q * q * (5 - 30 * z2) + p2 * p2 * q * q * (-60 * z2 + 212 * z4)
            + p2 * q * (135 * z4 - 96 * z6) - (30 * z6 + 90 * z4 * z4)
        ) * w
    for k in range(1, 20):
        s = p2 * k * k
        w = exp(-s / (2 * z2))
        k2b += s * w
        k3b += (3 * s * z2 - s * s) * w
    w = sqrt(M_PI / 2)
    k1 *= 2 * w / (6 * z4)
    k2 = 2 * w * (k2 / (72 * z6 * z) - k2b / (36 * z2 * z))
    k3 = 2 * w * (k3 / (6480 * z6 * z4) + k3b / (216 * z6))
    return 2 * w / z * k0 + k1 / root + k2 / n + k3 / (n * root)


# --- one sample, one side ---------------------------------------------------------------------------------------------


def smirnov_sf(double d, long long n) -> float:
    """Return P(D_n+ >= d) for the one-sided one-sample statistic of n values."""
    cdef double result
    if d <= 0:
        return 1.0
    with nogil:
        result = _smirnov_sf(d, n) if d < 1 else 0.0
    return min(1.0, result)


cdef double _smirnov_sf(double d, long long n) noexcept nogil:
    """Smirnov's sum d * sum_j Binomial(j; n, d + j/n) / (d + j/n), j from 0 to n(1 - d).

    The terms are a smooth function of j that vanishes with all its derivatives at both ends, so that for large n every
    s-th term, times s, gives the same sum to rounding (the trapezoidal rule converges faster than any power).
    """
    cdef double last = floor(n * (1 - d)), step = fmax(1.0, last / _NODES), j = 0, total = 0
    while j <= last:
        total += _smirnov_term(j, d, <double> n)
        j += step
    return d * step * total


cdef double _smirnov_term(double j, double d, double n) noexcept nogil:
    cdef double p = d + j / n, q = 1 - p, rest = n - j
    if j == 0:
        return exp(n * log1p(-d)) / d
    if q <= 0:
        return 0.0
    if rest == 0:
        return exp(n * log(p)) / p
    return exp(stirling(n) - stirling(j) - stirling(rest) - deviance(j, n * p) - deviance(rest, n * q)) \
        * sqrt(n / (2 * M_PI * j * rest)) / p


# --- two samples, exactly ---------------------------------------------------------------------------------------------


def two_sample_exact(long long m, long long n, long long h, bint both_sides) -> float:
    """Return P(D >= h / lcm(m, n)) for two samples of m and n values without ties.

    Args:
        m: values in the first sample.
        n: values in the second sample.
        h: the statistic times the least common multiple of m and n, an integer.
        both_sides: two-sided, or one-sided (the same for either side).

    Equal sizes take the reflection principle, O(m); others the lattice recursion, O(m * n) at worst.
    """
    cdef long long g = _gcd(m, n), larger = max(m, n), smaller = min(m, n)
    cdef double result
    if h <= 0:
        return 1.0
    with nogil:
        if m == n:
            result = _equal_sizes(n, h, both_sides)
        else:
            result = _lattice(larger, smaller, larger // g, smaller // g, h, both_sides)
    if result < 0:
        raise MemoryError("no room for the exact Kolmogorov-Smirnov distribution")
    return min(1.0, result)


cdef long long _gcd(long long a, long long b) noexcept nogil:
    while b:
        a, b = b, a % b
    return a


cdef double _equal_sizes(long long n, long long h, bint both_sides) noexcept nogil:
    """2 sum_k (-1)^(k-1) C(2n, n - kh) / C(2n, n), nested as Horner's rule; the first term alone for one side."""
    cdef long long k = n // h if both_sides else 1, j
    cdef double p = 0, ratio
    while k > 0:
        ratio = 1
        # C(2n, n-kh) / C(2n, n-(k-1)h)
        for j in range((k - 1) * h, k * h):
            ratio *= <double> (n - j) / (n + j + 1)
        p = ratio * (1 - p)
        k -= 1
    return 2 * p if both_sides else p


cdef double _lattice(long long m, long long n, long long mg, long long ng, long long h, bint both_sides) noexcept nogil:
    """Viehmann's recursion for the share of lattice paths from (0, 0) to (m, n) that reach |x/m - y/n| >= h / lcm.

    C(i, j) = (i C(i-1, j) + j C(i, j-1)) / (i + j), and 1 at or beyond a border: only sums of positives, so small p stay
    exact. Only the band between the borders is walked; `row[j]` holds C(i, j). -1 when out of memory.
    """
    cdef double* row = <double*> malloc((n + 1) * sizeof(double))
    cdef long long i, j, low, high
    cdef double left, share
    if row == NULL:
        return -1.0
    for j in range(n + 1):
        row[j] = 1.0
    for i in range(m + 1):
        # Inside: i*ng - j*mg < h, and for two sides j*mg - i*ng < h.
        low = _floor_div(i * ng - h, mg) + 1 if i * ng >= h else 0
        high = min(n, _floor_div(i * ng + h - 1, mg)) if both_sides else n
        left = 1.0
        if low == 0:
            left = 0.0 if i == 0 else row[0]
            row[0] = left
            low = 1
        for j in range(low, high + 1):
            share = 1.0 / (i + j)  # off the chain of dependent operations, which is then one product and one sum
            left = row[j] * (i * share) + left * (j * share)
            row[j] = left
    left = row[n]
    free(row)
    return left


cdef inline long long _floor_div(long long a, long long b) noexcept nogil:
    return a // b if a >= 0 else -((-a + b - 1) // b)
