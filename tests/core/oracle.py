"""The oracle: every kernel once more in plain Python and NumPy, slow and obvious.

Tests compare the compiled functions with these; nothing else calls them. Each follows its definition, with no regard for
speed, and takes plain lists or arrays without missing values. The prepared column that models keep is `prepared.Reference`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import ceil, comb, factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray


def murmurhash3_32(key: bytes, seed: int = 0) -> int:
    """Return MurmurHash3 x86_32 of a key as an unsigned integer, after Appleby's definition."""
    mask = 0xFFFFFFFF

    def rotate(x: int, r: int) -> int:
        return ((x << r) | (x >> (32 - r))) & mask

    def scramble(k: int) -> int:
        return rotate(k * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask

    h = seed
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        h = rotate(h ^ scramble(int.from_bytes(key[start : start + 4], "little")), 13) * 5 + 0xE6546B64 & mask
    h ^= scramble(int.from_bytes(key[whole:], "little")) if key[whole:] else 0
    h ^= len(key)
    h = (h ^ h >> 16) * 0x85EBCA6B & mask
    h = (h ^ h >> 13) * 0xC2B2AE35 & mask
    return h ^ h >> 16


def hash_features(
    rows: Iterable[Mapping[str, object]], n_features: int, *, alternate_sign: bool = True
) -> list[dict[int, float]]:
    """Return each row of scikit-learn's FeatureHasher matrix as {column: value}."""
    hashed = []
    for row in rows:
        cells: dict[int, float] = {}
        for name, value in row.items():
            token, amount = (f"{name}={value}", 1.0) if isinstance(value, str) else (name, float(str(value)))
            if amount == 0:
                continue
            unsigned = murmurhash3_32(token.encode())
            signed = unsigned - 2**32 if unsigned >= 2**31 else unsigned
            column = abs(signed) % n_features
            cells[column] = cells.get(column, 0.0) + (-amount if alternate_sign and signed < 0 else amount)
        hashed.append(cells)
    return hashed


def hash_index(text: str | None, n_buckets: int, seed: int = 0) -> int:
    """Return the bucket of one text: 0 for a missing one, else 1 + hash mod (n_buckets - 1)."""
    return 0 if text is None else 1 + murmurhash3_32(text.encode(), seed) % (n_buckets - 1)


def _distribution(sample: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([np.mean(sample <= point) for point in points])


def ks_statistic(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Return (D+, D-): how far the first distribution function lies above the second, and below."""
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    points = np.concatenate([a, b])
    gaps = _distribution(a, points) - _distribution(b, points)
    return max(0.0, float(gaps.max())), max(0.0, float(-gaps.min()))


def ks_exact_sf(m: int, n: int, d: Fraction, *, both_sides: bool) -> float:
    """Return P(D >= d) by counting, in exact integers, the lattice paths that stay inside; without ties."""

    def inside(i: int, j: int) -> bool:
        gap = Fraction(i, m) - Fraction(j, n)
        return (abs(gap) if both_sides else gap) < d

    @cache
    def paths(i: int, j: int) -> int:
        if not inside(i, j):
            return 0
        if i == 0 and j == 0:
            return 1
        return (paths(i - 1, j) if i else 0) + (paths(i, j - 1) if j else 0)

    return float(1 - Fraction(paths(m, n), comb(m + n, n)))


def kolmogorov_cdf(n: int, d: Fraction) -> float:
    """Return P(D_n < d) for one sample by Durbin's matrix in exact fractions (Marsaglia, Tsang & Wang 2003)."""
    k = ceil(n * d)
    h = k - n * d
    size = 2 * k - 1
    matrix = [[Fraction(int(i - j + 1 >= 0)) for j in range(size)] for i in range(size)]
    for i in range(size):
        matrix[i][0] -= h ** (i + 1)
        matrix[size - 1][i] -= h ** (size - i)
    matrix[size - 1][0] += max(2 * h - 1, Fraction(0)) ** size
    matrix = [[entry / factorial(max(i - j + 1, 0)) for j, entry in enumerate(row)] for i, row in enumerate(matrix)]
    power = [[Fraction(int(i == j)) for j in range(size)] for i in range(size)]
    for _ in range(n):
        power = [[sum((row[k] * matrix[k][j] for k in range(size)), Fraction(0)) for j in range(size)] for row in power]
    return float(power[k - 1][k - 1] * factorial(n) / Fraction(n) ** n)


def smirnov_sf(n: int, d: Fraction) -> float:
    """Return P(D_n+ >= d) for one sample by Smirnov's sum in exact fractions."""
    last = int(n * (1 - d))
    return float(
        d
        * sum(
            (
                comb(n, j) * (d + Fraction(j, n)) ** (j - 1) * (1 - d - Fraction(j, n)) ** (n - j)
                for j in range(last + 1)
            ),
            Fraction(0),
        )
    )


def wasserstein_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Return the integral of |F - G|."""
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    points = np.sort(np.concatenate([a, b]))
    gaps = np.abs(_distribution(a, points) - _distribution(b, points))
    return float(np.sum(gaps[:-1] * np.diff(points)))


def count_bins(values: ArrayLike, edges: Sequence[float]) -> list[int]:
    """Return counts of [-inf, e1), [e1, e2), ..., [ek, inf]."""
    bounds = [-np.inf, *edges]
    above = [int(np.sum(np.asarray(values) >= bound)) for bound in bounds] + [0]
    return [upper - lower for upper, lower in pairwise(above)]


def psi(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the population stability index of two count vectors."""
    if 0 in first or 0 in second:
        first, second = [c + 0.5 for c in first], [c + 0.5 for c in second]
    p, q = np.array(first) / sum(first), np.array(second) / sum(second)
    return float(sum((b - a) * np.log(b / a) for a, b in zip(p, q, strict=True)))


def chi2_statistic(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Pearson's statistic of a table with two rows: sum of (observed - expected)^2 / expected."""
    total = sum(first) + sum(second)
    statistic = 0.0
    for row in (first, second):
        for column, observed in enumerate(row):
            expected = sum(row) * (first[column] + second[column]) / total
            statistic += (observed - expected) ** 2 / expected if expected else 0.0
    return statistic


def fisher_two_sided(table: Sequence[Sequence[int]]) -> float:
    """Return Fisher's p: the mass of the tables with these margins that are no more likely than this one."""
    (a, b), (c, d) = table
    row, column, total = a + b, a + c, a + b + c + d
    masses = {
        k: Fraction(comb(row, k) * comb(total - row, column - k), comb(total, column))
        for k in range(max(0, row + column - total), min(row, column) + 1)
    }
    return float(sum(mass for mass in masses.values() if mass <= masses[a]))


def benjamini_hochberg(pvalues: Sequence[float]) -> list[float]:
    """Return adjusted p-values by the definition: the least level at which the step-up procedure rejects each."""
    ordered = sorted(pvalues)
    return [
        min(min(1.0, ordered[j] * len(ordered) / (j + 1)) for j in range(len(ordered)) if ordered[j] >= p)
        for p in pvalues
    ]
