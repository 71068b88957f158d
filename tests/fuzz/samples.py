"""Every two-sample statistic on doubles of any bit pattern: a number within its range, or ValueError, and never a warning."""

from __future__ import annotations

import atheris
import numpy as np
from inputs import floats

from mlopsfw_core import drift

TESTS = (
    drift.ks_2samp,
    lambda x, y: drift.ks_2samp(x, y, "less"),
    lambda x, y: drift.ks_2samp(x, y, "two-sided", "asymp"),
    drift.kuiper_2samp,
    lambda x, y: drift.cramervonmises_2samp(x, y, "asymptotic"),
    lambda x, y: drift.cramervonmises_2samp(x[:8], y[:9], "exact"),
    lambda x, y: drift.anderson_ksamp([x, y]),
    drift.mannwhitneyu,
    drift.epps_singleton_2samp,
    drift.ttest_ind,
    lambda x, y: drift.ttest_ind(x, y, equal_var=False),
    lambda x, y: drift.chi2_2samp(x, y, 4),
    lambda x, y: drift.g_2samp(x, y, 4),
    lambda x, y: drift.chi2_2samp(np.abs(x), np.abs(y)),
    lambda x, y: drift.g_2samp(np.abs(x), np.abs(y)),
)
DISTANCES = (
    drift.wasserstein_distance,
    drift.energy_distance,
    lambda x, y: drift.wasserstein_distance(x, y, np.arange(len(x)) + 1.0),
    lambda x, y: drift.psi(x, y, 4),
    lambda x, y: drift.psi(x, y, ("uniform", 4)),
    lambda x, y: drift.psi(x, y, "sturges"),
    lambda x, y: drift.jensenshannon(x, y, 2, bins=4),
    lambda x, y: drift.kl_divergence(x, y, bins=4),
    lambda x, y: drift.hellinger(x, y, bins=4),
    lambda x, y: drift.bhattacharyya(x, y, bins=4),
    lambda x, y: drift.total_variation(x, y, bins=4),
    lambda x, y: drift.l_infinity(x, y, bins=4),
    lambda x, y: drift.psi(np.abs(x), np.abs(y)),
    lambda x, y: drift.jensenshannon(np.abs(x), np.abs(y)),
    lambda x, y: drift.kl_divergence(np.abs(x), np.abs(y)),
    lambda x, y: drift.hellinger(np.abs(x), np.abs(y)),
    lambda x, y: drift.total_variation(np.abs(x), np.abs(y)),
)


def test_one(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    which = data.ConsumeIntInRange(0, len(TESTS) + len(DISTANCES) - 1)
    x, y = floats(data), floats(data)
    try:
        if which < len(TESTS):
            assert 0 <= TESTS[which](x, y).pvalue <= 1
        else:
            assert DISTANCES[which - len(TESTS)](x, y) >= 0
    except ValueError:
        return
