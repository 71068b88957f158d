"""A streamed comparison promises bounds that hold, the answer of the whole tables where values can be counted, and no trace of the blocks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from core_samples import samples
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw_core import Reference, compare_streams, compare_table, ks_2samp
from mlopsfw_core._stops import NumberTally, Thinned, ks_bounds, stops_of


def in_blocks(table, size):
    """The table as a function that gives its blocks anew."""
    return lambda: table.iter_slices(size)


def whole(before, after, **rule):
    """The comparison in memory, with every value kept."""
    references = {name: Reference.fit(before[name], name=name, max_points=before.height) for name in before.columns}
    return compare_table(references, after, **rule)


def everything(rng, rows, shift):
    """Columns of every kind, all of them changed where there is a shift."""
    heavy = rng.standard_cauchy(rows) * (1 + 4 * shift)
    heavy[rng.random(rows) < 0.05] = np.inf
    heavy[rng.random(rows) < 0.05] = np.nan
    kinds = rng.choice(["a", "b", "c"], rows, p=[0.5 - shift / 4, 0.3 + shift / 4, 0.2])
    return pl.DataFrame(
        {
            "normal": rng.normal(shift, 1, rows),
            "whole": rng.poisson(3 + 2 * shift, rows),
            "few": (rng.random(rows) < 0.3 + shift / 4).astype(int),
            "heavy": heavy,
            "kind": kinds,
            "gone": pl.Series([None if one < 0.1 + shift / 2 else one for one in rng.random(rows)], dtype=pl.Float64),
            "ids": [f"id{row}" for row in range(rows)],
            "none": pl.Series([None] * rows, dtype=pl.Float64),
        }
    )


@pytest.mark.parametrize("rows", [1, 60, 1500])
@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("size", [400, 10**6])
def test_small_tables_get_the_answer_of_the_whole(rows, shift, size):
    rng = np.random.default_rng(rows)
    before, after = everything(rng, rows, 0.0), everything(rng, rows + 5, shift)
    streamed = compare_streams(in_blocks(before, size), in_blocks(after, size))
    assert streamed.rows == (rows, rows + 5)
    for one, other in zip(streamed.drifts, whole(before, after), strict=True):
        assert (one.column, one.type, one.statistic, one.drifted) == (
            other.column,
            other.type,
            other.statistic,
            other.drifted,
        )
        assert (one.value, one.pvalue, one.effect) == pytest.approx((other.value, other.pvalue, other.effect), rel=1e-9)
        assert one.details["error"] == 0.0
        assert one.details["missing_share"] == other.details["missing_share"]


@given(samples, samples, st.integers(1, 6), st.integers(1, 50))
def test_the_bounds_hold_the_whole_samples_distance(x, y, points, size):
    columns = [np.asarray(column, dtype=np.float64) for column in (x, y)]
    thinned = [Thinned(), Thinned()]
    for sample, column in zip(thinned, columns, strict=True):
        sample.add(column)
    stops = stops_of(thinned, points)
    tallies = []
    for column in columns:
        tally = NumberTally.empty(stops)
        for start in range(0, column.size, size):
            tally = tally.add(column[start : start + size])
        tallies.append(tally)
    low, high = (units / (len(x) * len(y)) for units in ks_bounds(*tallies))
    distance = ks_2samp(*columns).statistic
    assert low <= distance + 1e-12
    assert distance <= high + 1e-12


def test_large_tables_are_decided_alike_within_the_stated_error():
    rng = np.random.default_rng(8)
    rows = 400_000
    before = pl.DataFrame({f"c{i}": rng.normal(size=rows) for i in range(4)} | {"sorted": np.arange(rows) * 1.0})
    after = pl.DataFrame({f"c{i}": rng.normal(0.1 * i, 1, rows) for i in range(4)} | {"sorted": np.arange(rows) + 3e4})
    streamed = compare_streams(in_blocks(before, 70_000), in_blocks(after, 30_000)).drifts
    exact = {one.column: one for one in whole(before, after)}
    for one in streamed:
        distance = exact[one.column].value
        assert one.value - 1e-12 <= distance <= one.value + one.details["error"] + 1e-12
        assert one.details["error"] < 1e-3
        assert one.drifted == exact[one.column].drifted


def test_which_rows_are_in_which_block_changes_nothing():
    rng = np.random.default_rng(9)
    before, after = everything(rng, 3000, 0.0), everything(rng, 2000, 0.3)
    first = compare_streams(in_blocks(before, 3000), in_blocks(after, 2000)).drifts
    for size in (64, 999):
        assert compare_streams(in_blocks(before, size), in_blocks(after, size)).drifts == first


@given(st.lists(st.integers(1, 90_000), min_size=1, max_size=6))
def test_a_thinned_sample_depends_on_the_rows_alone_and_stays_small(sizes):
    rows = np.arange(sum(sizes), dtype=np.float64)
    at_once, in_parts = Thinned(), Thinned()
    at_once.add(rows)
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        in_parts.add(part)
    assert np.array_equal(at_once.kept, in_parts.kept)
    assert in_parts.kept.size <= 1 << 17
    assert np.array_equal(in_parts.kept, rows[:: in_parts.stride])


def test_many_new_categories_are_counted_in_bounded_memory_and_found():
    before = pl.DataFrame({"kind": ["a", "b"] * 5000})
    after = pl.DataFrame({"kind": [f"new{row}" for row in range(5000)] + ["a"] * 5000})
    (drift,) = (found := compare_streams(in_blocks(before, 1000), in_blocks(after, 1000))).drifts
    (exact,) = whole(before, after)
    assert drift.drifted
    assert drift.effect == pytest.approx(exact.effect, abs=1e-9)
    assert len(found.tallies[1]["kind"].counts) <= 1002


def test_lost_and_changed_columns_are_drift():
    before = pl.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"], "z": [1.0, 2.0]})
    after = pl.DataFrame({"x": ["a", "b"], "y": [1, 2], "new": [1, 2]})
    drifts = {one.column: one for one in compare_streams(in_blocks(before, 1), in_blocks(after, 1)).drifts}
    assert (drifts["x"].statistic, drifts["x"].drifted) == ("type", True)
    assert (drifts["z"].statistic, drifts["z"].drifted) == ("absent", True)
    assert drifts["y"].statistic == "chisquare"


def test_the_callers_blocks_are_not_changed():
    values = np.array([3.0, 1.0, 2.0])
    compare_streams(lambda: [{"x": values}], lambda: [{"x": values}])
    assert values.tolist() == [3.0, 1.0, 2.0]
