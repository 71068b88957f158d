"""Binned statistics promise their formula, frozen edges, open outer bins and a stated rule for empty ones."""

from __future__ import annotations

import numpy as np
import oracle
import polars as pl
import pytest
from core_samples import counts, samples
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from mlopsfw_core import Reference, benjamini_hochberg, chi2_2samp, jensenshannon, psi
from mlopsfw_core.drift import psi_threshold
from mlopsfw_core.drift._binning import count_bins
from mlopsfw_core.drift._bins import binned, quantile_edges
from mlopsfw_core.drift.chi2 import pool_rare


@given(samples, st.lists(st.floats(-1e6, 1e6), max_size=90, unique=True).map(sorted))
def test_bins_count_as_defined_for_few_and_many_edges(values, edges):
    assert count_bins(values, np.array(edges, dtype=float)).tolist() == oracle.count_bins(values, edges)


def test_nan_is_in_no_bin_and_infinities_are_in_the_outer_ones():
    values = np.array([np.nan, -np.inf, 0.0, 1.0, np.inf])
    assert count_bins(values, np.array([1.0])).tolist() == [2, 2]
    assert count_bins(values, np.arange(100.0)).sum() == 4


@given(samples, st.integers(1, 20))
def test_no_quantile_bin_of_the_reference_is_empty(values, bins):
    edges = quantile_edges(np.sort(values), bins)
    assert edges.size < bins
    assert (np.diff(edges) > 0).all()
    assert count_bins(values, edges).all()


@pytest.mark.parametrize("distance", [psi, jensenshannon, chi2_2samp])
@pytest.mark.parametrize("total", [1e308, 1e-300])
def test_counts_whose_sums_a_double_cannot_hold_are_told(distance, total):
    with pytest.raises(ValueError, match="sum of the counts"):
        distance([total] * 3, [1, 2, 3])


def test_a_share_too_small_for_a_double_counts_as_an_empty_bin():
    assert psi([1e-300, 1e90], [1, 1]) == psi([0, 1e90], [1, 1])


def test_one_outlier_does_not_move_the_frozen_bins():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=5000), rng.normal(1, size=5000)
    spoilt = np.append(after, 1e9)
    for bins in (10, ("uniform", 10), "fd", np.linspace(-3, 3, 11)):
        assert psi(before, spoilt, bins) == pytest.approx(psi(before, after, bins), rel=0.01)


@given(counts, st.data())
def test_psi_is_its_formula_symmetric_and_zero_on_self(first, data):
    second = data.draw(st.lists(st.integers(0, 1000), min_size=len(first), max_size=len(first)).filter(any))
    value = psi(first, second)
    assert value == pytest.approx(oracle.psi(first, second), rel=1e-12, abs=1e-15)
    assert value >= 0
    assert value == pytest.approx(psi(second, first), rel=1e-12, abs=1e-15)
    assert psi(first, first) == 0


def test_psi_threshold_holds_its_rate_where_the_custom_of_one_tenth_does_not():
    rng = np.random.default_rng(4)
    n, m, bins = 10_000, 200, 10
    values = np.array([psi(rng.random(n), rng.random(m), bins) for _ in range(1000)])
    assert abs(np.mean(values > psi_threshold(n, m, bins, 0.05)) - 0.05) < 0.025
    assert np.mean([psi(rng.random(n), rng.random(50), bins) > 0.1 for _ in range(300)]) > 0.7


@given(counts, st.data(), st.sampled_from([None, 2, 10]))
def test_jensen_shannon_is_scipys_bounded_and_symmetric(first, data, base):
    second = data.draw(st.lists(st.integers(0, 1000), min_size=len(first), max_size=len(first)).filter(any))
    value = jensenshannon(first, second, base)
    assert value == pytest.approx(distance.jensenshannon(first, second, base), abs=1e-7)  # SciPy cancels near equality
    assert value**2 == pytest.approx(distance.jensenshannon(first, second, base) ** 2, abs=1e-12)
    assert 0 <= jensenshannon(first, second, 2) <= 1 + 1e-15
    assert value == jensenshannon(second, first, base)
    assert jensenshannon(first, first) == 0


def test_jensen_shannon_keeps_its_digits_near_equality():
    mpmath = pytest.importorskip("mpmath", reason="mpmath comes with torch")
    p, q = np.array([0.5, 0.5]), np.array([0.5 + 1e-9, 0.5 - 1e-9])
    with mpmath.workdps(60):
        a, b = [mpmath.mpf(x) for x in p], [mpmath.mpf(x) for x in q]
        middle = [(x + y) / 2 for x, y in zip(a, b, strict=True)]
        half = sum(x * mpmath.log(x / m) for x, m in zip(a + b, middle + middle, strict=True)) / 2
        exact = float(mpmath.sqrt(half))
    assert jensenshannon(p, q) == pytest.approx(exact, rel=1e-7)


@given(counts, st.data())
def test_chi_squared_is_pearsons_test_of_homogeneity(first, data):
    second = data.draw(st.lists(st.integers(0, 1000), min_size=len(first), max_size=len(first)).filter(any))
    got = chi2_2samp(first, second)
    assert got.statistic == pytest.approx(oracle.chi2_statistic(first, second), rel=1e-9, abs=1e-9)
    table = np.array([first, second])
    table = table[:, table.sum(axis=0) > 0]
    assume(table.shape[1] > 1)
    theirs = stats.chi2_contingency(table, correction=False)
    assert got.statistic == pytest.approx(theirs.statistic, rel=1e-12, abs=1e-12)
    assert got.pvalue == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-300)
    assert got.dof == theirs.dof


def test_chi_squared_takes_the_reference_as_a_sample_too():
    rng = np.random.default_rng(7)
    shares = rng.dirichlet(np.ones(8))
    p = np.array([chi2_2samp(rng.multinomial(800, shares), rng.multinomial(800, shares)).pvalue for _ in range(4000)])
    for level in (0.01, 0.05, 0.1):
        assert abs(np.mean(p <= level) - level) <= 4 * np.sqrt(level * (1 - level) / p.size)


def test_categories_are_counted_over_the_union():
    got = chi2_2samp(["a"] * 40 + ["b"] * 40, pl.Series(["b"] * 40 + ["c"] * 40), "categories")
    assert got == chi2_2samp([40, 40, 0], [0, 40, 40])


@given(counts, st.data(), st.floats(0.5, 50))
def test_pooling_keeps_every_count_and_leaves_no_rare_cell_alone(first, data, least):
    second = data.draw(st.lists(st.integers(0, 1000), min_size=len(first), max_size=len(first)).filter(any))
    a, b = np.array(first, dtype=float), np.array(second, dtype=float)
    pooled_a, pooled_b = pool_rare(a, b, least)
    assert (pooled_a.sum(), pooled_b.sum()) == (a.sum(), b.sum())
    expected = (pooled_a + pooled_b) * min(a.sum(), b.sum()) / (a.sum() + b.sum())
    assert pooled_a.size == 1 or (expected >= least * (1 - 1e-12)).all()


@pytest.mark.parametrize("statistic", [psi, jensenshannon, chi2_2samp])
@pytest.mark.parametrize(
    ("first", "second", "bins"),
    [
        ([1, 2], [1, 2, 3], None),
        ([0, 0], [1, 2], None),
        ([1, -1], [1, 2], None),
        ([1, np.nan], [1, 2], None),
        ([], [1.0], 10),
        ([np.nan], [1.0], 10),
        ([1.0], [1.0], 0),
        ([1.0], [1.0], [3, 2, 1]),
    ],
)
def test_what_cannot_be_binned_is_refused(statistic, first, second, bins):
    with pytest.raises(ValueError, match=r"count|bins|edges"):
        statistic(first, second, bins=bins)


def test_constant_and_single_row_samples_have_an_answer():
    assert psi([5.0] * 9, [5.0] * 4, 10) == 0
    assert psi([5.0] * 9, [6.0], 10) == 0  # one bin: there is nothing to tell apart
    assert chi2_2samp([5.0], [6.0], 10) == (0.0, 1.0, 0)


@given(samples, samples)
def test_order_of_rows_does_not_matter(x, y):
    assert psi(x, y, 5) == psi(x[::-1], y[::-1].copy(), 5)
    assert [c.tolist() for c in binned(x, y, 5)] == [c.tolist() for c in binned(np.sort(x), y, 5)]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_benjamini_hochberg_is_its_definition_and_scipys(pvalues):
    adjusted = benjamini_hochberg(pvalues)
    assert adjusted.tolist() == pytest.approx(oracle.benjamini_hochberg(pvalues), rel=1e-12)
    assert adjusted.tolist() == pytest.approx(stats.false_discovery_control(pvalues).tolist(), rel=1e-12)


def test_p_values_outside_zero_and_one_are_refused():
    for wrong in ([1.5], [-0.1], [np.nan], [[0.5]]):
        with pytest.raises(ValueError, match="p-values"):
            benjamini_hochberg(wrong)


WILD = np.append(np.random.default_rng(0).normal(size=1000), 1e300)


@pytest.mark.parametrize("bins", [10**9, ("uniform", 10**9), "fd"])
@pytest.mark.parametrize("statistic", [psi, jensenshannon, chi2_2samp])
def test_bins_beyond_the_cap_are_refused_before_memory_is_asked_for(statistic, bins):
    with pytest.raises(ValueError, match=r"at most 1,000,000: take bins=10"):
        statistic(WILD, WILD, bins=bins)


def test_a_prepared_reference_refuses_them_too():
    with pytest.raises(ValueError, match=r"bins=1000000000 makes 1000000000 bins"):
        Reference.fit(WILD, bins=10**9)


@pytest.mark.parametrize("bins", ["auto", "doane", "rice", "scott", "sqrt", "sturges"])
def test_numpys_other_rules_answer_for_one_wild_value(bins):
    assert psi(WILD, WILD, bins) == 0


@pytest.mark.parametrize("bins", ["fd", "auto", "scott", ("uniform", 7)])
@given(st.lists(st.floats(-9, 9, width=16).map(float), min_size=1, max_size=40).map(np.array))
def test_equal_widths_are_numpys_edges_with_open_ends(bins, values):
    values = values.round(1)  # ties without quartiles that all but meet: those are beyond the cap
    assume(values.min() < values.max() or not isinstance(bins, str))
    edges = np.histogram_bin_edges(values, bins if isinstance(bins, str) else bins[1])[1:-1]
    assert binned(values, values, bins)[0].tolist() == oracle.count_bins(values, edges.tolist())


def test_a_range_that_overflows_is_refused_for_equal_widths_only():
    ends = [-1.7e308, 0.0, 1.0, 1.7e308]
    with pytest.raises(ValueError, match=r"range of the reference"):
        psi(ends, ends, ("uniform", 10))
    assert psi(ends, ends, 10) == 0


@pytest.mark.parametrize("bins", ["auto", "doane", "fd", "rice", "scott", "sqrt", "stone", "sturges"])
def test_equal_values_make_one_bin_under_every_rule(bins):
    assert binned([1.6] * 3, [1.6, 7.0], bins)[1].tolist() == [
        2.0
    ]  # NumPy's Scott asks for 1e15 bins: their deviation is 2e-16
