"""Two-sample statistics: how far apart two samples are, and how surely.

Names, arguments and defaults are SciPy's where SciPy has the statistic. Samples are NumPy arrays of any numeric dtype, sequences,
Arrow or Polars columns; nulls and NaN are left out, infinities are values, and the caller's data is never changed. A
test on an empty sample answers "no evidence" (statistic 0, p-value 1); a distance raises ValueError.
"""

from __future__ import annotations

from .chi2 import Chi2Result, chi2_2samp
from .fdr import benjamini_hochberg
from .jensenshannon import jensenshannon
from .ks import KsResult, ks_2samp
from .psi import psi, psi_threshold
from .wasserstein import wasserstein_distance

__all__ = [
    "Chi2Result",
    "KsResult",
    "benjamini_hochberg",
    "chi2_2samp",
    "jensenshannon",
    "ks_2samp",
    "psi",
    "psi_threshold",
    "wasserstein_distance",
]
