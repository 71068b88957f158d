"""An interval covers the truth as often as it states, also where rows of a cluster depend on each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlopsfw.models.bootstrap import intervals, student_quantile


def means(values):
    return lambda weight: {"mean": float(np.average(values, weights=weight))}


@pytest.mark.parametrize("simulations", [100, pytest.param(1000, marks=pytest.mark.nightly)], ids=["push", "nightly"])
@pytest.mark.parametrize("clusters", [12, 100])
def test_the_interval_covers_the_mean_of_clustered_rows_as_often_as_it_states(clusters, simulations):
    draw, covered, naive = np.random.default_rng(3), 0, 0
    of_row = np.repeat(np.arange(clusters), 10)
    for _ in range(simulations):
        values = draw.normal(size=clusters)[of_row] + draw.normal(0, 0.5, len(of_row))
        low, high = intervals(means(values), of_row)["mean"]
        covered += low <= 0 <= high
        low, high = intervals(means(values), np.arange(len(of_row)))["mean"]
        naive += low <= 0 <= high
    assert covered / simulations == pytest.approx(0.95, abs=0.06 if simulations == 100 else 0.025)
    assert naive < 0.7 * simulations


def test_the_interval_of_independent_rows_is_students():
    values = np.random.default_rng(1).normal(size=2000)
    low, high = intervals(means(values), np.arange(2000))["mean"]
    assert (low + high) / 2 == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 2000**0.5, rel=0.15)


@pytest.mark.parametrize("freedom", [9, 19, 60, 1000])
def test_the_quantile_is_scipys(freedom):
    assert student_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-4)
    assert student_quantile(freedom, 2.5758) == pytest.approx(stats.t.ppf(0.995, freedom), rel=1e-3)


def test_an_interval_that_cannot_be_known_is_left_out():
    values = np.arange(100.0)
    assert intervals(means(values), np.arange(100) % 9) == {}
    sometimes = lambda weight: {"mean": 1.0} if weight is None or weight[0] else {}  # noqa: E731
    assert intervals(sometimes, np.arange(100)) == {}
