"""The maximum mean discrepancy of two samples of vectors, with a Gaussian kernel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from ._samples import Floats, Tested

BLOCK = 1024
"""Rows of the kernel matrix that are held at a time: memory grows with the sample, not with its square."""


def _points(values: ArrayLike, position: str) -> Floats:
    points = np.ascontiguousarray(values, dtype=np.float64)
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim - 1 != 1 or not np.isfinite(points).all():
        raise ValueError(f"the {position} sample is a matrix of finite numbers, a row for each point")
    return points[~np.isnan(points).any(axis=1)]


def _kernel(a: Floats, b: Floats, gamma: float) -> Floats:
    squares: Floats = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b) - 2 * a @ b.T
    np.maximum(squares, 0, out=squares)
    squares *= -gamma
    np.exp(squares, out=squares)
    return squares


def _blocks(a: Floats, b: Floats, gamma: float) -> Iterator[Floats]:
    for start in range(0, len(a), BLOCK):
        yield _kernel(a[start : start + BLOCK], b, gamma)


def median_gamma(pooled: Floats) -> float:
    """Return 1 / (2 median squared distance) over at most 1,000 evenly spaced rows: the median heuristic, deterministic."""
    rows = pooled[:: max(1, len(pooled) // 1000)]
    squares = np.einsum("ij,ij->i", rows, rows)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    median = float(np.median(distances[np.triu_indices(len(rows), 1)]))
    return 1 / (2 * median) if median > 0 else 1.0


def mmd2_unbiased(x: ArrayLike, y: ArrayLike, gamma: float | None = None) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, equation 3).

    mean of k(x, x') over pairs + the same for y - 2 mean of k(x, y), with k(a, b) = exp(-gamma |a - b|^2). It may be below 0.

    Args:
        x: (m, d) points, m at least 2; a vector is taken as one column.
        y: (n, d) points, n at least 2.
        gamma: of the kernel; None is the median heuristic on both samples together.

    Raises:
        ValueError: too few rows, columns that do not match, or values that are not finite.
    """
    a, b = _pair(x, y)
    width = median_gamma(np.concatenate([a, b])) if gamma is None else gamma
    m, n = len(a), len(b)
    within_a = sum(float(block.sum()) for block in _blocks(a, a, width)) - m
    within_b = sum(float(block.sum()) for block in _blocks(b, b, width)) - n
    across = sum(float(block.sum()) for block in _blocks(a, b, width))
    return within_a / (m * (m - 1)) + within_b / (n * (n - 1)) - 2 * across / (m * n)


def mmd2_linear(x: ArrayLike, y: ArrayLike, gamma: float | None = None) -> float:
    """Return the linear-time estimate of the squared discrepancy (Gretton et al. 2012, section 6): successive pairs of rows.

    Its cost grows with the rows and its error is larger. The order of the rows matters; surplus rows are not looked at.
    """
    a, b = _pair(x, y)
    width = median_gamma(np.concatenate([a, b])) if gamma is None else gamma
    pairs = min(len(a), len(b)) // 2
    x1, x2, y1, y2 = a[0 : 2 * pairs : 2], a[1 : 2 * pairs : 2], b[0 : 2 * pairs : 2], b[1 : 2 * pairs : 2]

    def kernel(left: Floats, right: Floats) -> Floats:
        return np.asarray(np.exp(-width * ((left - right) ** 2).sum(axis=1)))

    return float(np.mean(kernel(x1, x2) + kernel(y1, y2) - kernel(x1, y2) - kernel(x2, y1)))


def mmd_test(x: ArrayLike, y: ArrayLike, gamma: float | None = None, permutations: int = 100, seed: int = 0) -> Tested:
    """Test whether two samples come from one distribution by permuting `mmd2_unbiased`.

    The kernel matrix of the pooled rows is computed once, block by block; a permutation only adds up other parts of it, all of them
    in one product with a matrix of signs. p = (b + 1) / (B + 1) (Phipson & Smyth 2010).

    Args:
        x: (m, d) points.
        y: (n, d) points.
        gamma: of the kernel; None is the median heuristic.
        permutations: B.
        seed: of the generator, which is this call's own.
    """
    a, b = _pair(x, y)
    pooled = np.concatenate([a, b])
    width = median_gamma(pooled) if gamma is None else gamma
    m, n, total = len(a), len(b), len(pooled)
    members = np.zeros((total, permutations + 1))
    members[:m, 0] = 1
    rng = np.random.default_rng(seed)
    for column in range(1, permutations + 1):
        members[rng.permutation(total)[:m], column] = 1
    # With s the members' indicator: s'Ks is the sum within the first part, s'K1 that of its rows, 1'K1 that of all.
    within, rows, everything = np.zeros(permutations + 1), np.zeros(permutations + 1), 0.0
    for start, block in zip(range(0, total, BLOCK), _blocks(pooled, pooled, width), strict=True):
        part = members[start : start + BLOCK]
        within += np.einsum("ij,ij->j", part, block @ members)
        sums = block.sum(axis=1)
        rows += sums @ part
        everything += float(sums.sum())
    across = rows - within
    other = everything - 2 * across - within
    values = (within - m) / (m * (m - 1)) + (other - n) / (n * (n - 1)) - 2 * across / (m * n)
    larger = int(np.count_nonzero(values[1:] >= values[0] - 1e-12 * abs(values[0])))
    return Tested(float(values[0]), (larger + 1) / (permutations + 1))


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    a, b = _points(x, "first"), _points(y, "second")
    if a.shape[1] != b.shape[1] or min(len(a), len(b)) <= 1:
        raise ValueError(f"two rows at least, and equally many columns, are wanted: {a.shape} and {b.shape}")
    return a, b
