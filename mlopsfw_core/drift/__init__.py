"""Two-sample statistics: how far apart two samples are, and how surely.

Names, arguments and defaults are SciPy's where SciPy has the statistic. Samples are NumPy arrays of any numeric dtype, sequences,
Arrow or Polars columns; nulls and NaN are left out, infinities are values, and the caller's data is never changed. A
test on an empty sample answers "no evidence" (statistic 0, p-value 1); a distance raises ValueError.
"""

from __future__ import annotations

from .anderson import AndersonResult, anderson_ksamp
from .chi2 import Chi2Result, chi2_2samp
from .cramervonmises import cramervonmises_2samp
from .divergences import bhattacharyya, hellinger, kl_divergence, l_infinity, total_variation
from .energy import energy_distance
from .epps_singleton import epps_singleton_2samp
from .fdr import benjamini_hochberg
from .g_test import g_2samp
from .jensenshannon import jensenshannon
from .ks import KsResult, ks_2samp
from .ks_reference import KsReference
from .kuiper import kuiper_2samp
from .mannwhitney import mannwhitneyu
from .mmd import mmd2_linear, mmd2_unbiased, mmd_test
from .permutation import permutation_test
from .proportions import fisher_exact, proportions_ztest
from .psi import psi, psi_threshold
from .rank_statistics import RankStatistics, rank_statistics
from .ttest import TtestResult, ttest_ind
from .wasserstein import wasserstein_distance

__all__ = [
    "AndersonResult",
    "Chi2Result",
    "KsReference",
    "KsResult",
    "RankStatistics",
    "TtestResult",
    "anderson_ksamp",
    "benjamini_hochberg",
    "bhattacharyya",
    "chi2_2samp",
    "cramervonmises_2samp",
    "energy_distance",
    "epps_singleton_2samp",
    "fisher_exact",
    "g_2samp",
    "hellinger",
    "jensenshannon",
    "kl_divergence",
    "ks_2samp",
    "kuiper_2samp",
    "l_infinity",
    "mannwhitneyu",
    "mmd2_linear",
    "mmd2_unbiased",
    "mmd_test",
    "permutation_test",
    "proportions_ztest",
    "psi",
    "psi_threshold",
    "rank_statistics",
    "total_variation",
    "ttest_ind",
    "wasserstein_distance",
]
