"""The divergences, the tests of tables, MMD and permutation promise their definitions and SciPy's answers."""

from __future__ import annotations

import numpy as np
import pytest
from core_samples import counts
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlopsfw_core import drift

two_counts = counts.flatmap(
    lambda first: st.tuples(
        st.just(first), st.lists(st.integers(0, 1000), min_size=len(first), max_size=len(first)).filter(any)
    )
)


@given(two_counts)
def test_divergences_are_their_definitions(pair):
    p, q = (np.array(c) / sum(c) for c in pair)
    assert drift.total_variation(*pair) == pytest.approx(sum(abs(p - q)) / 2)
    assert drift.l_infinity(*pair) == pytest.approx(max(abs(p - q)))
    assert drift.hellinger(*pair) == pytest.approx(np.sqrt(max(0, 1 - sum(np.sqrt(p * q)))), abs=1e-7)
    assert drift.kl_divergence(*pair) == pytest.approx(stats.entropy(*pair), abs=1e-12)
    assert drift.kl_divergence(*pair, base=2) == pytest.approx(stats.entropy(*pair, base=2), abs=1e-12)
    overlap = sum(np.sqrt(p * q))
    expected = -np.log(overlap) if overlap else np.inf
    assert drift.bhattacharyya(*pair) == pytest.approx(expected, abs=1e-12)


@given(two_counts)
def test_divergences_obey_their_laws(pair):
    first, second = pair
    for distance in (drift.total_variation, drift.l_infinity, drift.hellinger, drift.bhattacharyya):
        assert distance(first, second) == pytest.approx(distance(second, first))
        assert distance(first, first) == 0
        assert distance(first, second) >= 0
    assert drift.kl_divergence(first, first) == 0
    assert drift.hellinger(first, second) ** 2 <= drift.total_variation(first, second) + 1e-12
    assert drift.l_infinity(first, second) <= 2 * drift.total_variation(first, second) + 1e-12
    assert drift.total_variation(first, second) <= 1


@given(two_counts)
def test_g_test_agrees_with_scipy_for_unequal_sizes(pair):
    table = np.array(pair)[:, np.sum(pair, axis=0) > 0]
    got = drift.g_2samp(*pair)
    if table.shape[1] > 1:
        theirs = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
        assert got == pytest.approx((theirs.statistic, theirs.pvalue, theirs.dof), rel=1e-6, abs=1e-9)
    else:
        assert got == (0.0, 1.0, 0)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_fishers_exact_test_agrees_with_scipy(alternative):
    rng = np.random.default_rng(1)
    for _ in range(200):
        table = rng.integers(0, rng.integers(2, 50, size=(2, 2)))
        ours, theirs = drift.fisher_exact(table.tolist(), alternative), stats.fisher_exact(table, alternative)
        assert ours.pvalue == pytest.approx(theirs.pvalue, rel=1e-8)
        if np.isfinite(theirs.statistic):
            assert ours.statistic == pytest.approx(theirs.statistic)


def test_proportions_z_is_the_signed_root_of_chi_squared():
    rng = np.random.default_rng(2)
    for _ in range(100):
        m, n = rng.integers(1, 500, 2)
        a, b = rng.integers(0, m + 1), rng.integers(0, n + 1)
        got = drift.proportions_ztest((a, b), (m, n))
        chi2 = drift.chi2_2samp([a, m - a], [b, n - b])
        assert got.statistic**2 == pytest.approx(chi2.statistic, abs=1e-9)
        assert got.pvalue == pytest.approx(chi2.pvalue, rel=1e-9)
    assert drift.proportions_ztest((0, 0), (10, 7)) == (0.0, 1.0)
    assert drift.proportions_ztest((0, 0), (0, 7)) == (0.0, 1.0)


@pytest.mark.parametrize("wrong", [((5, 1), (4, 4)), ((-1, 1), (4, 4))])
def test_impossible_proportions_are_refused(wrong):
    with pytest.raises(ValueError, match="between"):
        drift.proportions_ztest(*wrong)


def plain_mmd2(x, y, gamma):
    def mean(a, b, same):
        kernel = np.exp(-gamma * ((a[:, None] - b[None]) ** 2).sum(axis=2))
        return (kernel.sum() - np.trace(kernel)) / (len(a) * (len(a) - 1)) if same else kernel.mean()

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


@pytest.mark.parametrize(("m", "n", "d"), [(2, 2, 1), (30, 50, 4), (1500, 1100, 3)])
def test_mmd_is_its_definition_block_by_block(m, n, d):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(m, d)), rng.normal(0.2, size=(n, d))
    assert drift.mmd2_unbiased(x, y, 0.3) == pytest.approx(plain_mmd2(x, y, 0.3), abs=1e-12)
    assert drift.mmd2_unbiased(y, x) == pytest.approx(drift.mmd2_unbiased(x, y), abs=1e-12)


def test_permuted_mmd_permutes_the_statistic_itself():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=(60, 2))
    assert drift.mmd_test(x, y, 0.5).statistic == pytest.approx(drift.mmd2_unbiased(x, y, 0.5), abs=1e-12)
    assert drift.mmd_test(x, y + 1.5).pvalue == pytest.approx(1 / 101)
    p = [drift.mmd_test(*rng.normal(size=(2, 25, 2)), permutations=39, seed=i).pvalue for i in range(300)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_linear_time_mmd_estimates_the_same():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(40_000, 2)), rng.normal(0.5, size=(40_000, 2))
    assert drift.mmd2_linear(x, y, 0.5) == pytest.approx(drift.mmd2_unbiased(x[:3000], y[:3000], 0.5), abs=0.02)


@pytest.mark.parametrize(
    ("x", "y"), [([[1.0]], [[1.0], [2.0]]), ([[1.0, 2.0]] * 3, [[1.0]] * 3), ([[np.nan]] * 3, [[1.0]] * 3)]
)
def test_points_that_cannot_be_compared_are_refused(x, y):
    with pytest.raises(ValueError, match=r"rows|finite"):
        drift.mmd2_unbiased(x, y)


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_permutation_p_values_never_are_zero_and_hold_their_level_with_atoms(alternative):
    def difference(a, b):
        return a.mean() - b.mean()

    rng = np.random.default_rng(6)
    far = {"greater": 1.0, "less": -1.0, "two-sided": 1.0}[alternative]
    result = drift.permutation_test([far] * 20, [0.0] * 20, difference, alternative=alternative)
    assert result.pvalue == pytest.approx((2 if alternative == "two-sided" else 1) / 1000)
    p = [
        drift.permutation_test(
            rng.integers(0, 2, 15), rng.integers(0, 2, 25), difference, 99, alternative=alternative, seed=i
        ).pvalue
        for i in range(300)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_permutation_repeats_itself_and_leaves_the_global_generator_alone():
    state = np.random.get_state()[1].tolist()  # noqa: NPY002 - the global generator is what must not be touched
    x, y = np.arange(9.0), np.arange(5.0)
    first = drift.permutation_test(x, y, lambda a, b: a.max() - b.max(), 50)
    assert first == drift.permutation_test(x, y, lambda a, b: a.max() - b.max(), 50)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    assert x.tolist() == list(range(9))


def test_the_g_test_takes_counts_that_lie_beyond_a_doubles_reach_of_each_other():
    got = drift.g_2samp(np.array([5e-324, 1e17, 3.0]), np.array([1e17, 5e-324, 2.0]))
    assert np.isfinite(got.statistic)
    assert 0 <= got.pvalue <= 1
