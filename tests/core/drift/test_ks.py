"""Kolmogorov-Smirnov promises SciPy's statistic to the last bit and its p-values to nine digits, exact where SciPy is."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracle
import polars as pl
import pytest
from core_samples import pair, samples
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlopsfw_core import ks_2samp
from mlopsfw_core.drift import KsReference
from mlopsfw_core.drift._gaps import at_ranks, grid_extremes
from mlopsfw_core.drift._kolmogorov import kolmogorov_sf, smirnov_sf, two_sample_exact
from mlopsfw_core.drift.ks import sorted_extremes

PAIRS = [
    pytest.param(54, id="push"),
    pytest.param(200, id="nightly", marks=pytest.mark.nightly),
]  # a multiple of the kinds


@pytest.mark.filterwarnings("ignore:ks_2samp")  # SciPy's exact one-sided count overflows and says so
@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize("method", ["exact", "asymp", "auto"])
@pytest.mark.parametrize("pairs", PAIRS)
def test_agrees_with_scipy_on_each_pair(alternative, method, pairs):
    for seed in range(pairs):
        x, y = pair(seed)
        ours, theirs = ks_2samp(x, y, alternative, method), stats.ks_2samp(x, y, alternative, method)
        assert ours.statistic == pytest.approx(theirs.statistic, abs=1e-15)
        assert ours.pvalue == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-300)
        assert ours.pvalue == pytest.approx(theirs.pvalue, abs=1e-9)


def test_agrees_with_scipy_where_p_is_below_1e_200():
    x = np.arange(3000.0)
    ours, theirs = ks_2samp(x, x + 2500, method="asymp"), stats.ks_2samp(x, x + 2500, method="asymp")
    assert ours.pvalue == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-300)
    assert ks_2samp(x, x + 700).pvalue == pytest.approx(stats.ks_2samp(x, x + 700).pvalue, rel=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 139, 140, 141, 150, 1000, 5000, 10**4, 10**5])
def test_finite_n_distribution_agrees_with_scipys(n):
    # Below z = 0.6 and between 141 and 5,000 values SciPy's expansion is off by up to 2e-6, and ours takes Durbin's matrix.
    for z in [0.61, 0.7, 0.8, 1, 1.2, 1.4, 1.47, 1.49, 1.6, 2, 2.5, 4, 8, 18, 19.2]:
        d = z / n**0.5
        if d < 1 and (n <= 140 or n > 5000 or n * d**1.5 > 1.4):
            theirs = stats.kstwo.sf(d, n)
            assert kolmogorov_sf(d, n) == pytest.approx(theirs, abs=1e-9)
            assert kolmogorov_sf(d, n) == pytest.approx(theirs, rel=1e-6, abs=1e-300)


@pytest.mark.parametrize("n", [1, 5, 12])
def test_finite_n_distribution_equals_exact_fractions(n):
    for numerator in range(1, 20):
        d = Fraction(numerator, 20)
        if 2 * n * d > 1:
            assert kolmogorov_sf(float(d), n) == pytest.approx(1 - oracle.kolmogorov_cdf(n, d), abs=1e-12)
        assert smirnov_sf(float(d), n) == pytest.approx(oracle.smirnov_sf(n, d), rel=1e-11)


def test_expansion_stays_within_its_stated_error_of_exact_values():
    for n in (150, 200, 300):
        for z in (0.7, 0.9, 1.1, 1.3):
            d = Fraction(round(z * n**0.5 * 8), 8 * n)
            theirs = stats._ksstats._kolmogn_DMTW(n, float(d), cdf=False)
            assert kolmogorov_sf(float(d), n) == pytest.approx(float(theirs), abs=0.04 / n**2)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 7), (4, 6), (7, 5), (12, 12), (9, 30)])
@pytest.mark.parametrize("both_sides", [True, False])
def test_two_sample_distribution_equals_counted_paths(m, n, both_sides):
    lcm = int(np.lcm(m, n))
    for h in range(1, lcm + 1):
        exact = oracle.ks_exact_sf(m, n, Fraction(h, lcm), both_sides=both_sides)
        assert two_sample_exact(m, n, h, both_sides) == pytest.approx(exact, rel=1e-10)


@given(samples, samples)
def test_statistic_is_the_oracles_and_a_distance(x, y):
    above, below = oracle.ks_statistic(x, y)
    got = ks_2samp(x, y)
    assert got.statistic == pytest.approx(max(above, below), abs=1e-15)
    assert ks_2samp(x, y, "greater").statistic == pytest.approx(above, abs=1e-15)
    assert ks_2samp(x, y, "less").statistic == pytest.approx(below, abs=1e-15)
    assert 0 <= got.statistic <= 1
    assert 0 <= got.pvalue <= 1
    assert ks_2samp(y, x)[:2] == pytest.approx(got[:2], abs=1e-15)
    assert ks_2samp(x, x)[:2] == (0.0, 1.0)


@given(samples, samples, st.randoms(use_true_random=False))
def test_order_of_rows_and_monotone_maps_change_nothing(x, y, random):
    got = ks_2samp(x, y)
    assert ks_2samp(random.sample(x.tolist(), x.size), y)[:2] == got[:2]
    assert ks_2samp(np.arctan(x / 2e6), np.arctan(y / 2e6))[:2] == got[:2]
    assert ks_2samp(-x, -y)[:2] == pytest.approx(got[:2])


@given(samples, samples)
def test_where_the_distance_is_attained(x, y):
    got = ks_2samp(x, y)
    if got.statistic:
        gap = np.mean(x <= got.statistic_location) - np.mean(y <= got.statistic_location)
        assert gap * got.statistic_sign == pytest.approx(got.statistic)


LARGE = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy": lambda rng, n: rng.standard_cauchy(n) ** 3,
    "skewed": lambda rng, n: np.exp(2 * rng.normal(size=n)),
    "rounded": lambda rng, n: rng.normal(size=n).round(4),
    "clustered": lambda rng, n: rng.integers(0, 50, n) * 1e6 + rng.normal(size=n),
    "ordered": lambda rng, n: np.sort(rng.random(n)),
    "infinite": lambda rng, n: np.where(rng.random(n) < 0.001, np.inf, rng.normal(size=n)),
    "tied": lambda rng, n: rng.integers(0, 9, n).astype(float),
    "constant": lambda rng, n: np.zeros(n),
    "huge": lambda rng, n: rng.normal(size=n) * 1e308,
    "denormal": lambda rng, n: rng.integers(0, 10**6, n) * 5e-324,
}


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize(("m", "n"), [(30_000, 30_000), (45_000, 3_001), (2_500, 90_000)])
@pytest.mark.parametrize("shift", [0.0, 0.02, 5.0])
def test_large_samples_give_the_same_extremes_without_being_sorted(kind, m, n, shift):
    rng = np.random.default_rng(m)
    x, y = LARGE[kind](rng, m), LARGE[kind](rng, n) + shift
    found = grid_extremes(x, y)
    expected = sorted_extremes(np.sort(x), np.sort(y))
    if found is not None:
        assert np.array_equal(found, expected, equal_nan=True)
    else:
        assert kind != "normal"
    assert ks_2samp(x, y).statistic == max(expected[:2]) / (m * n)


def test_missing_values_in_large_samples_are_left_out_too():
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=50_000), rng.normal(size=40_000)
    spoilt = np.insert(x, 777, np.nan)
    assert grid_extremes(spoilt, y) is None
    assert ks_2samp(spoilt, y) == ks_2samp(x, y)


def test_missing_values_are_left_out_and_infinities_count():
    clean = ks_2samp([1.0, 2.0, 3.0], [2.0, 5.0])
    assert ks_2samp([1.0, np.nan, 2.0, 3.0], pl.Series([2.0, None, 5.0])) == clean
    assert ks_2samp([-np.inf, 0.0, np.inf], [0.0]).statistic == pytest.approx(1 / 3)
    assert ks_2samp([np.inf] * 3, [np.inf] * 5)[:2] == (0.0, 1.0)
    assert ks_2samp([0.0], [-0.0])[:2] == (0.0, 1.0)


@pytest.mark.parametrize(("x", "y"), [([], [1.0]), ([1.0], []), ([], []), ([np.nan], [1.0]), ([None], [1.0])])
def test_an_empty_sample_is_no_evidence(x, y):
    assert ks_2samp(x, y)[:2] == (0.0, 1.0)


def test_the_callers_arrays_are_not_changed():
    x, y = np.array([3.0, 1.0, np.nan]), np.array([2.0, 0.0])
    ks_2samp(x, y)
    assert np.array_equal(x, [3.0, 1.0, np.nan], equal_nan=True)
    assert y.tolist() == [2.0, 0.0]


@pytest.mark.parametrize("arguments", [("sideways",), ("",), ("two-sided", "guess")])
def test_unknown_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="not"):
        ks_2samp([1.0], [2.0], *arguments)


@pytest.mark.parametrize(("m", "n"), [(20, 30), (100, 100), (12_000, 11_000)])
def test_null_p_values_are_no_smaller_than_they_claim(m, n):
    rng = np.random.default_rng(m)
    trials = 2000 if m < 1000 else 400
    p = np.array([ks_2samp(rng.normal(size=m), rng.normal(size=n)).pvalue for _ in range(trials)])
    for level in (0.01, 0.05, 0.1):
        assert np.mean(p <= level) <= level + 3 * np.sqrt(level * (1 - level) / trials)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "ties"])
def test_a_million_values_agree_with_scipy(kind):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=10**6), rng.normal(0.002, size=10**6)
    if kind == "ties":
        x, y = x.round(2), y.round(2)
    ours, theirs = ks_2samp(x, y), stats.ks_2samp(x, y)
    assert ours.statistic == pytest.approx(theirs.statistic, abs=1e-15)
    assert ours.pvalue == pytest.approx(theirs.pvalue, abs=1e-9)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("kind", LARGE)
def test_a_prepared_reference_answers_as_the_two_samples_do(kind):
    rng = np.random.default_rng(9)
    x = LARGE[kind](rng, 60_000)
    reference = KsReference(np.append(x, np.nan))
    for size, shift in ((70_000, 0.0), (50_000, 0.02), (800, 0.0), (0, 0.0)):
        y = LARGE[kind](rng, size) + shift
        for alternative in ("two-sided", "less"):
            assert repr(reference.ks_2samp(y, alternative)) == repr(ks_2samp(x, y, alternative))
    spoilt = np.insert(LARGE[kind](rng, 50_000), 7, np.nan)
    assert repr(reference.ks_2samp(spoilt)) == repr(ks_2samp(x, spoilt))


def test_a_small_reference_is_prepared_too():
    for seed in range(60):
        x, y = pair(seed)
        assert repr(KsReference(x).ks_2samp(y)) == repr(ks_2samp(x, y))


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("kind", LARGE)
def test_values_at_ranks_are_those_of_the_sorted_sample(kind):
    values = LARGE[kind](np.random.default_rng(10), 80_000)
    ranks = np.sort(np.random.default_rng(11).integers(0, values.size, 12))
    found = at_ranks(values, ranks)
    assert found is None or np.array_equal(found, np.sort(values)[ranks])
    assert found is not None or kind in {"tied", "constant", "clustered", "huge", "denormal"}
