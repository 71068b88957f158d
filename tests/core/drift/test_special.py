"""The distribution functions promise ten digits, tails included."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from scipy import stats

from mlopsfw_core.drift._special import chi2_isf, chi2_sf, hypergeometric_two_sided, normal_sf, student_sf


@pytest.mark.parametrize("df", [0.5, 1, 2, 3, 9, 50, 1000, 1e5])
def test_chi_squared_tail(df):
    for x in [0, 1e-8, 0.01, 1, df / 2, df, df + 5 * df**0.5, 10 * df, 300, 1200]:
        assert chi2_sf(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("df", [1, 3, 12, 999])
def test_chi_squared_quantile_inverts_the_tail(df):
    for p in [1e-12, 0.001, 0.05, 0.5, 0.999]:
        assert chi2_isf(p, df) == pytest.approx(stats.chi2.isf(p, df), rel=1e-9)


def test_normal_tail():
    for z in np.linspace(-10, 37, 95):
        assert normal_sf(z) == pytest.approx(stats.norm.sf(z), rel=1e-12)


@pytest.mark.parametrize("df", [1, 2, 7.5, 100, 1e6])
def test_student_tail(df):
    for t in [-30, -2, -0.001, 0, 0.001, 0.5, 2, 30]:
        assert student_sf(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-10, abs=1e-300)


def test_fishers_exact_p_equals_the_count_of_tables():
    rng = np.random.default_rng(5)
    for _ in range(300):
        table = rng.integers(0, rng.integers(1, 40, size=(2, 2)))
        (a, b), (c, d) = table.tolist()
        if a + b + c + d:
            ours = hypergeometric_two_sided(a, a + b, a + c, a + b + c + d)
            assert ours == pytest.approx(oracle.fisher_two_sided(((a, b), (c, d))), rel=1e-9)
            assert ours == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-9)
