"""The interval of a difference of two models covers it as often as it says, and is left out where it cannot be known."""

from __future__ import annotations

import numpy as np
import pytest

from mlopsfw.models.paired import interval


def test_the_interval_covers_the_difference_as_often_as_it_says():
    draw = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        gains = draw.normal(0.1, 1.0, 300)
        low, high = interval(lambda at, gains=gains: float(gains[at].mean()), 300)
        covered += low <= 0.1 <= high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_the_interval_of_a_mean_is_that_of_students_t():
    gains = np.random.default_rng(1).normal(size=4000)
    low, high = interval(lambda at: float(gains[at].mean()), 4000)
    assert (low + high) / 2 == pytest.approx(gains.mean())
    assert high - low == pytest.approx(2 * 1.96 * gains.std() / 4000**0.5, rel=0.5)


def test_models_that_answer_alike_differ_by_nothing():
    assert interval(lambda _: 0.0, 100) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("difference", "rows"),
    [(lambda _: 1.0, 39), (lambda at: None if len(at) < 100 else 1.0, 100), (lambda _: None, 100)],
)
def test_an_interval_that_cannot_be_known_is_left_out(difference, rows):
    assert interval(difference, rows) is None


@pytest.mark.parametrize("clusters", [12, 60])
def test_rows_of_a_cluster_count_for_what_they_are_worth(clusters):
    draw = np.random.default_rng(2)
    of_row, covered, naive = np.repeat(np.arange(clusters), 10), 0, 0
    for _ in range(200):
        gains = draw.normal(size=clusters)[of_row] + draw.normal(0, 0.3, len(of_row))
        low, high = interval(lambda at, gains=gains: float(gains[at].mean()), len(of_row), of_row)
        covered += low <= 0 <= high
        low, high = interval(lambda at, gains=gains: float(gains[at].mean()), len(of_row))
        naive += low <= 0 <= high
    assert covered / 200 == pytest.approx(0.95, abs=0.04)
    assert naive < 0.7 * 200


def test_fewer_than_ten_clusters_have_no_interval():
    assert interval(lambda _: 1.0, 90, np.arange(90) % 9) is None
