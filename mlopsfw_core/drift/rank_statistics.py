"""Every rank statistic of two samples at once: one pair of sorts, one walk."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._ranks import rank_sums
from ._samples import Tested, nonempty, sorted_values
from .anderson import AndersonResult, anderson_result
from .cramervonmises import cramervonmises_result
from .energy import energy_of
from .ks import KsResult, extremes_of, ks_result
from .kuiper import kuiper_result
from .mannwhitney import mannwhitney_result


class RankStatistics(NamedTuple):
    """What the functions of these names would answer, each by its defaults; `docs/core.md` says when to look at which."""

    ks_2samp: KsResult
    kuiper_2samp: Tested
    cramervonmises_2samp: Tested
    anderson_ksamp: AndersonResult
    mannwhitneyu: Tested
    wasserstein_distance: float
    energy_distance: float


def rank_statistics(x: Any, y: Any) -> RankStatistics:
    """Compare two samples by every statistic of their ranks, at little more than the cost of sorting them.

    Args:
        x: the first sample, any column of numbers.
        y: the second.

    Returns:
        RankStatistics. Nulls and NaN are left out, infinities are values.

    Raises:
        ValueError: a sample is empty: two of the statistics are distances.
    """
    first, second = sorted_values(x), sorted_values(y)
    nonempty("rank_statistics", first, second)
    sums = rank_sums(first, second)
    extremes = extremes_of(sums)
    return RankStatistics(
        ks_2samp=ks_result(extremes, sums.m, sums.n),
        kuiper_2samp=kuiper_result(extremes, sums.m, sums.n),
        cramervonmises_2samp=cramervonmises_result(sums),
        anderson_ksamp=anderson_result(sums),
        mannwhitneyu=mannwhitney_result(sums),
        wasserstein_distance=sums.area / sums.m / sums.n,
        energy_distance=energy_of(sums),
    )
