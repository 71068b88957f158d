"""The rank tests promise SciPy's statistics and p-values, more digits where SciPy cancels, and sound answers at the edges."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from core_samples import pair, samples
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlopsfw_core import drift
from mlopsfw_core.drift._criterion_paths import paths_below

PAIRS = [pytest.param(range(54), id="push"), pytest.param(range(150), id="nightly", marks=pytest.mark.nightly)]


@pytest.mark.parametrize("method", ["auto", "asymptotic"])
@pytest.mark.parametrize("pairs", PAIRS)
def test_cramer_von_mises_agrees_with_scipy(method, pairs):
    for seed in pairs:
        x, y = pair(seed, 60 if method == "auto" else 150)
        if min(x.size, y.size) < 2 or (method == "auto" and max(x.size, y.size) <= 20):
            continue
        ours, theirs = drift.cramervonmises_2samp(x, y, method), stats.cramervonmises_2samp(x, y, method=method)
        assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-10)
        assert ours.pvalue == pytest.approx(theirs.pvalue, abs=1e-7)  # SciPy drops terms below that


def test_cramer_von_mises_exact_p_agrees_with_scipy():
    for seed in range(30):
        x, y = pair(seed, 13)
        if min(x.size, y.size) > 1:
            ours, theirs = drift.cramervonmises_2samp(x, y), stats.cramervonmises_2samp(x, y)
            assert ours.pvalue == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize(("m", "n"), [(2, 2), (3, 7), (4, 6), (5, 8), (7, 7)])
def test_cramer_von_mises_counts_every_ordering(m, n):
    scale = math.lcm(m, n)

    def criterion(first):
        taken = [sum(place < seen for place in first) for seen in range(1, m + n + 1)]
        return sum((scale // m * x - scale // n * (seen - x)) ** 2 for seen, x in enumerate(taken, 1))

    values = [criterion(set(first)) for first in combinations(range(m + n), m)]
    for border in {0, max(values) + 1, *values}:
        assert paths_below(border, m, n) == sum(value < border for value in values)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize(("m", "n"), [(19, 20), (20, 20), (13, 18)])
def test_cramer_von_mises_is_exact_up_to_scipys_border(m, n, shift):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=m), rng.normal(shift, size=n)
    assert drift.cramervonmises_2samp(x, y).pvalue == pytest.approx(stats.cramervonmises_2samp(x, y).pvalue, rel=1e-12)


def test_cramer_von_mises_counts_more_orderings_than_64_bits_hold():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=35), rng.normal(0.3, size=35)
    theirs = stats.cramervonmises_2samp(x, y, method="exact").pvalue
    assert drift.cramervonmises_2samp(x, y, "exact").pvalue == pytest.approx(theirs, rel=1e-12)


@given(samples, samples)
def test_cramer_von_mises_is_its_definition(x, y):
    if min(x.size, y.size) > 1 and np.unique(np.concatenate([x, y])).size == x.size + y.size:
        pooled = np.concatenate([x, y])
        gaps = [Fraction(int((x <= v).sum()), x.size) - Fraction(int((y <= v).sum()), y.size) for v in pooled]
        exact = Fraction(x.size * y.size, pooled.size**2) * sum(gap * gap for gap in gaps)
        assert drift.cramervonmises_2samp(x, y).statistic == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize("pairs", PAIRS)
def test_energy_distance_agrees_with_scipy(pairs):
    rng = np.random.default_rng(0)
    for seed in pairs:
        x, y = pair(seed)
        scale = np.abs(np.concatenate([x, y])).max() ** 0.5
        theirs = stats.energy_distance(x, y)
        assert drift.energy_distance(x, y) == pytest.approx(theirs, rel=1e-12, abs=1e-15 * scale + 1e-161)
        u, v = rng.random(x.size) + 0.1, rng.random(y.size) + 0.1
        theirs = stats.energy_distance(x, y, u, v)
        assert drift.energy_distance(x, y, u, v) == pytest.approx(theirs, rel=1e-9, abs=1e-12 * scale + 1e-161)


def test_infinities_cost_the_energy_distance_what_they_must():
    assert drift.energy_distance([0.0, np.inf], [0.0, np.inf]) == 0
    assert drift.energy_distance([0.0, np.inf], [0.0, 1.0]) == np.inf


@pytest.mark.filterwarnings("ignore")  # SciPy warns that its p-value is capped, and that arguments will change
@pytest.mark.parametrize("pairs", PAIRS)
def test_anderson_darling_agrees_with_scipy(pairs):
    for seed in pairs:
        x, y = pair(seed)
        if x.size + y.size > 3 and np.unique(np.concatenate([x, y])).size > 1:
            ours, theirs = drift.anderson_ksamp([x, y]), stats.anderson_ksamp([x, y])
            assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-9, abs=1e-9)
            assert ours.pvalue == pytest.approx(theirs.pvalue, rel=1e-9)
            assert ours.critical_values == pytest.approx(theirs.critical_values)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize("method", ["auto", "asymptotic", "exact"])
@pytest.mark.parametrize("pairs", PAIRS)
def test_mann_whitney_agrees_with_scipy(alternative, method, pairs):
    for seed in pairs:
        x, y = pair(seed, 40 if method == "exact" else 150)
        ours = drift.mannwhitneyu(x, y, alternative=alternative, method=method)
        if np.unique(np.concatenate([x, y])).size == 1 and method != "exact":
            assert ours.pvalue == 1  # SciPy divides by 0
            continue
        theirs = stats.mannwhitneyu(x, y, alternative=alternative, method=method)
        assert ours.statistic == theirs.statistic
        assert ours.pvalue == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-300)


@given(samples, samples)
def test_mann_whitney_is_the_number_of_pairs(x, y):
    pairs = (x[:, None] > y).sum() + (x[:, None] == y).sum() / 2
    assert drift.mannwhitneyu(x, y).statistic == pairs


@given(samples, samples, st.floats(-1e3, 1e3))
def test_kuiper_is_both_distances_and_at_home_on_a_circle(x, y, turn):
    got = drift.kuiper_2samp(x, y)
    sides = [drift.ks_2samp(x, y, side).statistic for side in ("greater", "less")]
    assert got.statistic == pytest.approx(sum(sides))
    angles = np.floor(x) % 64, np.floor(y) % 64
    turned = [(angle + int(turn)) % 64 for angle in angles]
    assert drift.kuiper_2samp(*turned).statistic == pytest.approx(drift.kuiper_2samp(*angles).statistic)


def test_ranks_of_tens_of_millions_do_not_overflow():
    rng = np.random.default_rng(1)
    x = np.sort(rng.random(3_000_000))
    sums = drift._ranks.rank_sums(x, x)
    assert sums.above == sums.below == 0
    n = x.size
    # Ties of two: midranks 2k - 1/2, own ranks k, so the doubled distance is 2k - 1, and the squares' sum is known.
    assert sums.x_spread == sum_of_odd_squares(n)
    assert sums.x_ranks == n * (2 * n + 1)
    assert sums.tie_cubes == 6 * n


def sum_of_odd_squares(n):
    return n * (2 * n - 1) * (2 * n + 1) // 3


@pytest.mark.parametrize(
    ("test", "arguments"),
    [
        (drift.kuiper_2samp, {}),
        (drift.cramervonmises_2samp, {"method": "asymptotic"}),
        (lambda x, y: drift.anderson_ksamp([x, y]), {}),
        (drift.mannwhitneyu, {}),
        (drift.epps_singleton_2samp, {}),
        (drift.ttest_ind, {"equal_var": False}),
    ],
    ids=["kuiper", "cramer", "anderson", "mannwhitney", "epps", "welch"],
)
class TestEveryRankTest:
    """What all of them promise."""

    def test_null_p_values_are_no_smaller_than_they_claim(self, test, arguments):
        rng = np.random.default_rng(2)
        trials = 1500
        p = np.array([test(rng.normal(size=60), rng.normal(size=80), **arguments).pvalue for _ in range(trials)])
        for level in (0.01, 0.05, 0.1):
            # Epps and Singleton's limit law is known to be a little too small at these sizes, as SciPy's is.
            slack = 1.6 if test is drift.epps_singleton_2samp else 1.0
            assert np.mean(p <= level) <= slack * level + 3 * math.sqrt(level * (1 - level) / trials)

    def test_a_real_shift_is_found(self, test, arguments):
        rng = np.random.default_rng(3)
        assert test(rng.normal(size=400), rng.normal(0.6, size=400), **arguments).pvalue <= 0.001

    @pytest.mark.parametrize("sample", [[], [np.nan], [None], [1.0], [2.0, 2.0, 2.0], [np.inf, -np.inf, 0.0]])
    def test_odd_samples_have_an_answer(self, test, arguments, sample):
        for first, second in ((sample, sample), (sample, [1.0, 2.0, 4.0]), ([1.0, 2.0, 4.0], sample)):
            result = test(first, second, **arguments)
            assert 0 <= result.pvalue <= 1
            assert not math.isnan(result.statistic)
        same = test(sample, sample, **arguments)
        assert same.pvalue >= 0.25


@pytest.mark.parametrize("test", [drift.ttest_ind, drift.epps_singleton_2samp])
@pytest.mark.parametrize("exponent", [-1040, -600, 600, 1020])
def test_a_statistic_without_a_unit_is_the_same_near_both_ends_of_float64(test, exponent):
    x, y = np.random.default_rng(4).integers(-9, 9, size=(2, 30)).astype(float)
    assert test(np.ldexp(x, exponent), np.ldexp(y, exponent)) == pytest.approx(test(x, y), rel=1e-9)


def test_epps_singleton_agrees_with_scipy():
    for seed in range(60):
        x, y = np.random.default_rng(seed).normal(size=(2, 20 + seed))
        ours, theirs = drift.epps_singleton_2samp(x, y), stats.epps_singleton_2samp(x, y)
        assert ours == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("jitter", [1e-130, 1e-156, 5e-324])
def test_epps_singleton_knows_a_covariance_that_has_no_inverse_in_float64(jitter):
    assert drift.epps_singleton_2samp([0.0] * 7 + [jitter], [5.0] * 8) == (0.0, 1.0)


@pytest.mark.parametrize("equal_var", [True, False])
@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_t_test_agrees_with_scipy(equal_var, alternative):
    for seed in range(60):
        x, y = pair(seed * 9)  # the normal ones: SciPy warns of constants and loses denormals
        if min(x.size, y.size) > 1:
            ours = drift.ttest_ind(x, y, equal_var=equal_var, alternative=alternative)
            theirs = stats.ttest_ind(x, y, equal_var=equal_var, alternative=alternative)
            assert ours == pytest.approx((theirs.statistic, theirs.pvalue, theirs.df), rel=1e-9)
