"""Wasserstein-1 promises SciPy's value, exactness, and the laws of a distance."""

from __future__ import annotations

import math

import numpy as np
import oracle
import polars as pl
import pytest
from core_samples import pair, samples
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlopsfw_core import wasserstein_distance


def test_agrees_with_scipy_on_three_hundred_pairs():
    rng = np.random.default_rng(0)
    for seed in range(300):
        x, y = pair(seed)
        scale = np.abs(np.concatenate([x, y])).max()
        assert wasserstein_distance(x, y) == pytest.approx(
            stats.wasserstein_distance(x, y), rel=1e-12, abs=1e-15 * scale + 1e-322
        )
        u, v = rng.random(x.size) + 0.1, rng.integers(0, 3, y.size) + np.eye(1, y.size)[0]
        weighted = stats.wasserstein_distance(x, y, u, v)
        assert wasserstein_distance(x, y, u, v) == pytest.approx(weighted, rel=1e-11, abs=1e-14 * scale + 1e-322)


@given(samples, samples, st.floats(-1000, 1000), st.floats(0.01, 100))
def test_laws_of_the_distance(x, y, shift, scale):
    distance = wasserstein_distance(x, y)
    slack = 1e-9 * max(1.0, np.abs(x).max(), np.abs(y).max(), abs(shift)) * max(1.0, scale)
    assert distance == pytest.approx(oracle.wasserstein_distance(x, y), rel=1e-9, abs=slack)
    assert distance == pytest.approx(wasserstein_distance(y, x), rel=1e-12)
    assert wasserstein_distance(x, x) == 0
    assert wasserstein_distance(x + shift, y + shift) == pytest.approx(distance, abs=slack)
    assert wasserstein_distance(x, x + shift) == pytest.approx(abs(shift), abs=slack)
    assert wasserstein_distance(x * scale, y * scale) == pytest.approx(distance * scale, rel=1e-9, abs=slack)
    assert distance >= abs(x.mean() - y.mean()) - slack


@given(samples, samples, samples)
def test_triangle_inequality(x, y, z):
    direct = wasserstein_distance(x, z)
    assert direct <= wasserstein_distance(x, y) + wasserstein_distance(y, z) + 1e-6


@given(samples, samples)
def test_weights_of_one_change_nothing_and_weights_of_zero_vanish(x, y):
    plain = wasserstein_distance(x, y)
    assert wasserstein_distance(x, y, np.ones(x.size)) == pytest.approx(plain, rel=1e-9, abs=1e-6)
    padded = np.append(x, 1e300)
    assert wasserstein_distance(padded, y, np.append(np.ones(x.size), 0.0)) == pytest.approx(plain, rel=1e-9, abs=1e-6)


def test_missing_values_are_left_out_and_infinities_cost_what_they_must():
    assert wasserstein_distance([1.0, np.nan], pl.Series([None, 3.0])) == 2
    assert wasserstein_distance([0.0, np.inf], [0.0, np.inf]) == 0
    assert wasserstein_distance([-np.inf, 1.0, np.inf, np.inf], [-np.inf, 3.0, np.inf, np.inf]) == 0.5
    assert wasserstein_distance([0.0, np.inf], [0.0, 1.0]) == np.inf
    assert wasserstein_distance([0.0, np.inf], [0.0, 1.0], [1, 1], [1, 1]) == np.inf


@pytest.mark.parametrize(
    "arguments",
    [
        ([], [1.0]),
        ([1.0], [np.nan]),
        ([1.0], [1.0], [0.0]),
        ([1.0], [1.0], [-1.0]),
        ([1.0], [1.0], [1.0, 2.0]),
        ([1.0, None], [1.0], [1.0, 2.0]),
    ],
)
def test_what_has_no_distance_is_refused(arguments):
    with pytest.raises(ValueError, match=r"empty|weight"):
        wasserstein_distance(*arguments)


@pytest.mark.slow
def test_a_million_heavy_tailed_values_keep_fourteen_digits():
    rng = np.random.default_rng(2)
    x, y = rng.standard_cauchy(10**6), rng.standard_cauchy(900_000)
    points = np.concatenate([x, y])
    order = np.argsort(points)
    # The gap between the two distribution functions in whole units of 1 / (m n): no rounding before the last sum.
    gaps = np.cumsum(np.where(order < x.size, y.size, -x.size))[:-1]
    exact = math.fsum(np.abs(gaps) * np.diff(points[order])) / x.size / y.size
    assert wasserstein_distance(x, y) == pytest.approx(exact, rel=1e-14)
    assert wasserstein_distance(x, y) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-10)  # SciPy rounds more
    x, y = np.arctan(x), np.arctan(y)
    assert wasserstein_distance(x, y) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)
