"""A map of probabilities is kept only where it gains on rows that it was not fitted to; scikit-learn is the oracle of the isotonic one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from mlopsfw.errors import BundleError
from mlopsfw.models.calibration import Isotonic, Temperature, choose, fit_isotonic, fit_temperature


def outcomes(rows=2000, sharp=1.0, seed=0):
    """Labels of known probability, and a model whose logits are `sharp` times too large."""
    draw = np.random.default_rng(seed)
    logit = draw.normal(0, 1.5, rows)
    labels = (draw.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    return labels, 1 / (1 + np.exp(-sharp * logit))


def test_the_temperature_is_the_factor_by_which_logits_are_too_large():
    labels, p = outcomes(20_000, sharp=3.0)
    assert fit_temperature(labels, p).temperature == pytest.approx(3.0, rel=0.05)
    both = np.stack([1 - p, p], axis=1)
    assert fit_temperature(labels, both).temperature == pytest.approx(fit_temperature(labels, p).temperature)
    assert np.allclose(Temperature(temperature=2.0)(both)[:, 1], Temperature(temperature=2.0)(p))


def test_the_isotonic_map_is_scikit_learns_but_for_its_ends():
    labels, p = outcomes(500)
    p = np.round(p, 2)  # ties
    oracle = IsotonicRegression(y_min=1 / 502, y_max=1 - 1 / 502, out_of_bounds="clip").fit(p, labels)
    grid = np.linspace(0, 1, 201)
    assert np.allclose(fit_isotonic(labels, p)(grid), oracle.predict(grid))


def test_a_weight_counts_a_row_so_many_times():
    labels, p = outcomes(600, sharp=2.0)
    times = np.random.default_rng(1).integers(0, 4, 600)
    many = [np.repeat(values, times) for values in (labels, p)]
    assert fit_temperature(labels, p, times * 1.0).temperature == pytest.approx(fit_temperature(*many).temperature)
    grid = np.linspace(0.01, 0.99, 99)
    edge = 1 / ((times > 0).sum() + 2)
    oracle = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip").fit(p, labels, sample_weight=times)
    assert np.allclose(fit_isotonic(labels, p, times * 1.0)(grid), oracle.predict(grid))
    report = choose(labels, p, np.arange(600), times * 1.0).report["temperature"]["log_loss"]
    assert report["before"] == pytest.approx(
        choose(*many, np.repeat(np.arange(600), times)).report["temperature"]["log_loss"]["before"]
    )


@pytest.mark.parametrize(("sharp", "kept"), [(3.0, Temperature), (1.0, None)])
def test_a_map_is_kept_only_where_it_gains(sharp, kept):
    labels, p = outcomes(sharp=sharp)
    choice = choose(labels, p, np.arange(len(labels)))
    assert type(choice.map) is (kept or type(None))
    ece = choice.report["temperature"]["ece"]
    assert (ece["after"] < ece["before"] / 2) == (kept is Temperature)


def test_a_bend_that_no_temperature_mends_is_mended_by_the_isotonic_map():
    draw = np.random.default_rng(0)
    truth = draw.random(4000)
    choice = choose((draw.random(4000) < truth).astype(int), truth**3, np.arange(4000))
    assert isinstance(choice.map, Isotonic)


def test_few_rows_are_left_as_they_are():
    labels, p = outcomes(99, sharp=5)
    assert choose(labels, p, np.arange(99)) == (None, {})


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Temperature(temperature=0.0),
        lambda: Temperature(temperature=float("nan")),
        lambda: Isotonic(x=(0.0, 1.0), y=(1.0, 0.0)),
        lambda: Isotonic(x=(), y=()),
        lambda: Isotonic(x=(0.1,), y=(1.1,)),
    ],
)
def test_a_map_from_a_file_is_checked(wrong):
    with pytest.raises(BundleError):
        wrong()
