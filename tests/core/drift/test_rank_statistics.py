"""The walk promises its sums whatever is tied where; `rank_statistics` promises what the single functions answer."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from core_samples import pair
from scipy.stats import rankdata

from mlopsfw_core import drift
from mlopsfw_core.drift._levels import sorted_levels
from mlopsfw_core.drift._ranks import rank_sums


def sums_by_definition(x, y):
    """Every sum of `RankSums`, from pooled midranks and distinct values."""
    m, n, total = x.size, y.size, x.size + y.size
    midranks = rankdata(np.concatenate([x, y]))
    values, counts = np.unique(np.concatenate([x, y]), return_counts=True)
    i, j = np.searchsorted(x, values, "right"), np.searchsorted(y, values, "right")
    gaps = (i * n - j * m).astype(float)
    widths = np.diff(values)
    centre, own = np.cumsum(counts) - counts / 2, (np.searchsorted(x, values) + i) / 2
    spare = centre * (total - centre) - total * counts / 4
    lead = total * own - m * centre
    anderson = np.sum(np.divide(counts * lead**2, spare, out=np.zeros(values.size), where=spare > 0))
    return {
        "above": max(0, int(gaps.max())),
        "below": max(0, int(-gaps.min())),
        "above_at": values[gaps.argmax()] if gaps.max() > 0 else np.nan,
        "below_at": values[gaps.argmin()] if gaps.min() < 0 else np.nan,
        "area": np.sum(np.abs(gaps[:-1]) * widths),
        "square": np.sum(gaps[:-1] ** 2 * widths),
        "anderson": anderson,
        "x_spread": int(np.sum((2 * midranks[:m] - 2 * np.arange(1, m + 1)) ** 2)),
        "y_spread": int(np.sum((2 * midranks[m:] - 2 * np.arange(1, n + 1)) ** 2)),
        "x_ranks": int(np.sum(2 * midranks[:m])),
        "tie_cubes": int(np.sum(counts**3 - counts)),
    }


LEVELS = {"none": None, "rare": 10**7, "some": 20_000, "most": 2_000, "few": 7}


@pytest.mark.parametrize("ties", LEVELS)
@pytest.mark.parametrize("sizes", [(5000, 5000), (20_000, 700), (3, 4000), (4000, 1), (513, 511), (9000, 30_000)])
def test_the_walk_takes_every_sum_whatever_is_tied_where(ties, sizes):
    rng = np.random.default_rng(sizes)
    for shift in (0.0, 0.2, -3.0):
        x, y = (np.sort(rng.normal(size=size) * scale) for size, scale in zip(sizes, (1, 1.1), strict=True))
        x = x + shift
        if LEVELS[ties]:
            x, y = (np.sort(np.rint(sample * LEVELS[ties])) for sample in (x, y))
        got, expected = rank_sums(x, y)._asdict(), sums_by_definition(x, y)
        for name, value in expected.items():
            tolerance = 0 if isinstance(value, int) else 1e-11
            assert got[name] == pytest.approx(value, rel=tolerance, nan_ok=True), name


def test_one_tie_anywhere_is_seen():
    rng = np.random.default_rng(8)
    x, y = np.sort(rng.random(1200)), np.sort(rng.random(1100))
    for place in range(1, 1100, 7):
        across, within = y.copy(), y.copy()
        across[place] = x[np.searchsorted(x, y[place]) - 1] if x[0] < y[place] else x[0]
        within[place] = within[place - 1]
        for tied in (np.sort(across), within):
            got, expected = rank_sums(x, tied), sums_by_definition(x, tied)
            assert (got.tie_cubes, got.x_spread, got.y_spread) == tuple(
                expected[name] for name in ("tie_cubes", "x_spread", "y_spread")
            )


def test_one_call_answers_what_the_single_functions_answer():
    for seed in range(80):
        x, y = pair(seed, 400)
        together = drift.rank_statistics(x, y)
        for name, value in together._asdict().items():
            alone = drift.anderson_ksamp([x, y]) if name == "anderson_ksamp" else getattr(drift, name)(x, y)
            assert repr(value) == repr(alone), name  # to the last digit, NaN too


def test_one_call_leaves_out_what_is_missing_and_refuses_an_empty_sample():
    got = drift.rank_statistics(pl.Series([1.0, None, 3.0, 4.0]), [2.0, np.nan, 5.0])
    assert repr(got) == repr(drift.rank_statistics([1.0, 3.0, 4.0], [2.0, 5.0]))
    with pytest.raises(ValueError, match="sample 2 is empty"):
        drift.rank_statistics([1.0], [np.nan])


@pytest.mark.parametrize("levels", [1, 2, 60, 120])
@pytest.mark.parametrize("strays", [0.0, 0.0005, 0.01, 0.2])
def test_a_sample_on_few_values_is_sorted_by_counting(levels, strays):
    rng = np.random.default_rng(levels)
    values = rng.choice(rng.normal(size=levels), 30_000)
    values[rng.random(30_000) < strays] = np.nan
    values[rng.random(30_000) < strays / 2] = rng.normal()
    values[::1000], values[1::1000] = 0.0, -0.0
    got = sorted_levels(values)
    if strays < 0.1:
        assert np.array_equal(got, np.sort(values[~np.isnan(values)]))
    assert sorted_levels(rng.normal(size=30_000)) is None
    assert sorted_levels(values[:1000]) is None
