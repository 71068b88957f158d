"""`Numbers`: what is kept of a column's numbers besides nulls: NaN, infinities, extremes, moments and quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, isnan, nan, sqrt

from ._moments import merge_moments
from .quantiles import Quantiles

Sums = tuple[int, float, float, float, float, float, float]
NOTHING: Sums = (0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A sample of numbers. Moments are of the finite ones; quantiles and ranks also count infinities, at their ends."""

    nan: int
    neg_inf: int
    pos_inf: int
    sums: Sums
    quantiles: Quantiles

    @property
    def finite(self) -> int:
        """How many are finite."""
        return self.sums[0]

    @property
    def ordered(self) -> int:
        """How many are not NaN."""
        return self.finite + self.neg_inf + self.pos_inf

    @property
    def minimum(self) -> float:
        """The smallest that is not NaN; NaN of none."""
        return -inf if self.neg_inf else self.sums[1] if self.finite else inf if self.pos_inf else nan

    @property
    def maximum(self) -> float:
        """The largest that is not NaN; NaN of none."""
        return inf if self.pos_inf else self.sums[2] if self.finite else -inf if self.neg_inf else nan

    @property
    def mean(self) -> float:
        """The mean of the finite ones; NaN of none."""
        return self.sums[3] if self.finite else nan

    @property
    def stddev(self) -> float:
        """The sample standard deviation (n - 1) of the finite ones; NaN of fewer than two, inf where it exceeds a float."""
        if self.finite <= 1:
            return nan
        return sqrt(max(self.sums[4], 0.0) / (self.finite - 1)) if isfinite(self.sums[4]) else inf

    @property
    def skewness(self) -> float:
        """Fisher's g1; NaN where all are equal."""
        n, m2, m3 = self.finite, self.sums[4], self.sums[5]
        return sqrt(n) * m3 / m2**1.5 if m2 > 0 and isfinite(m3) else nan

    @property
    def kurtosis(self) -> float:
        """Fisher's g2, 0 for a normal distribution; NaN where all are equal."""
        n, m2, m4 = self.finite, self.sums[4], self.sums[6]
        return n * m4 / (m2 * m2) - 3.0 if m2 > 0 and isfinite(m4) else nan

    def rank(self, value: float) -> float:
        """Return the share of numbers that are at most `value`."""
        if not self.ordered or isnan(value):
            return nan
        if value == inf:
            return 1.0
        if value == -inf or not self.finite or value < self.sums[1]:
            below = 0.0
        else:
            below = float(self.finite) if value >= self.sums[2] else self.quantiles.rank(value) * self.finite
        return (self.neg_inf + below) / self.ordered

    def quantile(self, q: float) -> float:
        """Return the least number with at least a share `q` of the numbers at or below it."""
        if not 0 <= q <= 1:
            raise ValueError(f"a quantile is asked for at a share from 0 to 1, not {q!r}")
        at = q * self.ordered - self.neg_inf
        if not self.ordered:
            return nan
        if at <= 0 and (q == 0 or self.neg_inf):
            return self.minimum
        if at > self.finite or not self.finite:
            return self.maximum
        return min(max(self.quantiles.quantile(at / self.finite), self.sums[1]), self.sums[2])

    def merge(self, other: Numbers) -> Numbers:
        """Return the profile of both samples together."""
        return Numbers(
            self.nan + other.nan,
            self.neg_inf + other.neg_inf,
            self.pos_inf + other.pos_inf,
            merge_moments(self.sums, other.sums),
            self.quantiles.merge(other.quantiles),
        )
