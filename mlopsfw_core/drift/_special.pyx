"""The distribution functions behind the p-values: normal, chi-squared, Student's t, hypergeometric.

Scalar, in double precision, relative error below 1e-10 in the tails; no SciPy. Formulas: Abramowitz & Stegun 6.5, 26.5;
continued fractions by Lentz's method (Press et al., Numerical Recipes, 5.2).
"""

from __future__ import annotations

from libc.math cimport M_PI, erfc, exp, fabs, lgamma, log, log1p, sqrt

cdef double _TINY = 1e-300
cdef double _EPS = 1e-16
cdef int _MAX_TERMS = 100000


cdef double stirling(double n) noexcept nogil:
    """log(n!) - log(sqrt(2 pi n) (n/e)^n); by recurrence below 16, so that it is smooth in n."""
    cdef double shift = 0, n2
    while n < 16:
        # f(n) = f(n + 1) + (n + 1/2) log(1 + 1/n) - 1
        shift += (n + 0.5) * log1p(1 / n) - 1
        n += 1
    n2 = n * n
    return shift + (1 / 12.0 - (1 / 360.0 - (1 / 1260.0 - (1 / 1680.0 - 1 / (1188.0 * n2)) / n2) / n2) / n2) / n


cdef double deviance(double x, double mean) noexcept nogil:
    """x log(x / mean) + mean - x without cancellation (Loader's bd0)."""
    cdef double v, s, before, term
    cdef int j
    if fabs(x - mean) < 0.1 * (x + mean):
        v = (x - mean) / (x + mean)
        s, term = (x - mean) * v, 2 * x * v
        for j in range(1, 1000):
            term *= v * v
            before = s
            s += term / (2 * j + 1)
            if s == before:
                break
        return s
    return x * log(x / mean) + mean - x


cdef double gamma_upper(double a, double x) noexcept nogil:
    """Q(a, x), the regularised upper incomplete gamma function: a series below a + 1, a continued fraction above."""
    cdef double term, total, b, c, d, h, delta, front
    cdef int i
    if x <= 0:
        return 1.0
    front = exp(-stirling(a) - deviance(a, x)) * sqrt(a / (2 * M_PI))  # x^a e^-x / Gamma(a)
    if x < a + 1:
        term = total = 1.0 / a
        for i in range(1, _MAX_TERMS):
            term *= x / (a + i)
            total += term
            if term < total * _EPS:
                break
        return 1.0 - front * total
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / b
    h = d
    for i in range(1, _MAX_TERMS):
        b += 2
        d = 1 / _nonzero(i * (a - i) * d + b)
        c = _nonzero(b + i * (a - i) / c)
        delta = c * d
        h *= delta
        if fabs(delta - 1) < _EPS * 4:
            break
    return front * h


cdef inline double _nonzero(double x) noexcept nogil:
    return _TINY if fabs(x) < _TINY else x


cdef double beta_lower(double a, double b, double x, double y) noexcept nogil:
    """I_x(a, b), the regularised incomplete beta function, by its continued fraction on the side where that converges.

    y is 1 - x, given apart because one of the two may be too small to be had from the other.
    """
    cdef double n = a + b, front
    if x <= 0 or y <= 0:
        return 0.0 if x <= 0 else 1.0
    # x^a y^b / B(a, b)
    front = exp(stirling(n) - stirling(a) - stirling(b) - deviance(a, n * x) - deviance(b, n * y)) * sqrt(a * b / (2 * M_PI * n))
    if x < (a + 1) / (n + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, y) / b


cdef double _beta_fraction(double a, double b, double x) noexcept nogil:
    cdef double c = 1, d = 1 / _nonzero(1 - (a + b) * x / (a + 1)), h = d, step
    cdef int m
    for m in range(1, _MAX_TERMS):
        step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _nonzero(1 + step * d)
        c = _nonzero(1 + step / c)
        h *= d * c
        step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _nonzero(1 + step * d)
        c = _nonzero(1 + step / c)
        h *= d * c
        if fabs(d * c - 1) < _EPS * 4:
            break
    return h


cdef double log_choose(double n, double k) noexcept nogil:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def chi2_sf(double x, double df) -> float:
    """Return P(X > x) for a chi-squared variable with `df` degrees of freedom."""
    return gamma_upper(df / 2, x / 2)


def chi2_isf(double p, double df) -> float:
    """Return the x that a chi-squared variable with `df` degrees of freedom exceeds with probability p, by bisection."""
    cdef double low = 0, high = df + 1, middle
    cdef int i
    if not 0 < p <= 1 or df <= 0:
        raise ValueError(f"a probability in (0, 1] and positive degrees of freedom are wanted, not {p} and {df}")
    while gamma_upper(df / 2, high / 2) > p:
        high *= 2
    for i in range(200):
        middle = (low + high) / 2
        if middle == low or middle == high:
            break
        if gamma_upper(df / 2, middle / 2) > p:
            low = middle
        else:
            high = middle
    return high


def normal_sf(double z) -> float:
    """Return P(Z > z) for a standard normal variable."""
    return 0.5 * erfc(z / sqrt(2.0))


def student_sf(double t, double df) -> float:
    """Return P(T > t) for Student's t with `df` degrees of freedom."""
    cdef double tail = 0.5 * beta_lower(df / 2, 0.5, df / (df + t * t), t * t / (df + t * t))
    return tail if t > 0 else 1 - tail


def hypergeometric_two_sided(long long a, long long row, long long column, long long total) -> float:
    """Return Fisher's two-sided p: the mass of all tables with these margins that are no more likely than the one seen.

    Args:
        a: the count in the first cell.
        row: the first row's sum.
        column: the first column's sum.
        total: the sum of all cells.

    Tables within 1e-7 relative of the seen one's mass count as equally likely, as in SciPy and R.
    """
    cdef long long low = max(0, row + column - total), high = min(row, column), mode, k
    cdef double seen, term, peak, p = 0
    with nogil:
        mode = ((row + 1) * (column + 1)) // (total + 2)
        mode = min(max(mode, low), high)
        # Masses relative to the mode's, which is found from logarithms once; the rest follow by ratios.
        peak = exp(log_choose(row, mode) + log_choose(total - row, column - mode) - log_choose(total, column))
        seen = _relative_mass(a, mode, row, column, total) * (1 + 1e-7)
        term, k = 1.0, mode
        while k <= high and term > 0:
            p += term if term <= seen else 0
            term *= <double> (row - k) * (column - k) / ((k + 1.0) * (total - row - column + k + 1))
            k += 1
        term, k = 1.0, mode
        while k > low and term > 0:
            term *= <double> k * (total - row - column + k) / ((row - k + 1.0) * (column - k + 1))
            k -= 1
            p += term if term <= seen else 0
    return min(1.0, p * peak)


def hypergeometric_tail(long long a, long long row, long long column, long long total, bint upper) -> float:
    """Return the mass of the tables with these margins whose first cell is at least a (upper), or at most a."""
    cdef long long low = max(0, row + column - total), high = min(row, column), k = a
    cdef double term = 1, p = 0, first
    with nogil:
        first = exp(log_choose(row, a) + log_choose(total - row, column - a) - log_choose(total, column))
        while low <= k <= high and term > 0:
            p += term
            if upper:
                term *= <double> (row - k) * (column - k) / ((k + 1.0) * (total - row - column + k + 1))
                k += 1
            else:
                term *= <double> k * (total - row - column + k) / ((row - k + 1.0) * (column - k + 1))
                k -= 1
    return min(1.0, p * first)


cdef double _relative_mass(long long a, long long mode, long long row, long long column, long long total) noexcept nogil:
    cdef double term = 1
    cdef long long k
    for k in range(mode, a):
        term *= <double> (row - k) * (column - k) / ((k + 1.0) * (total - row - column + k + 1))
    for k in range(mode, a, -1):
        term *= <double> k * (total - row - column + k) / ((row - k + 1.0) * (column - k + 1))
    return term
