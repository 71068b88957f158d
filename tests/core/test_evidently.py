"""The preset promises Evidently 0.7's statistic, value and verdict where Evidently is right, and a better answer where it is not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.spatial import distance

from mlopsfw_core import compare_as_evidently, compare_samples


def columns(rng, rows, shift):
    return pl.DataFrame(
        {
            "x": rng.normal(shift, 1, rows),
            "few": rng.integers(0, 5, rows),
            "two": (rng.random(rows) < 0.4 + shift / 3).astype(int),
            "kind": rng.choice(["a", "b", "c", "d"], rows, p=[0.4 + shift / 4, 0.3 - shift / 4, 0.2, 0.1]),
            "yes": rng.choice(["n", "y"], rows, p=[0.5 - shift / 3, 0.5 + shift / 3]),
            "same": np.full(rows, 3.0),
        }
    )


def by_name(before, after):
    return {one.column: one for one in compare_as_evidently(before, after)}


def shares(frame, name, levels):
    return np.array([(frame[name] == level).mean() for level in levels])


def z_pvalue(before, after, name):
    first = min(set(before[name].to_list()))
    p, q = ((frame[name] != first).mean() for frame in (before, after))
    n, m = before.height, after.height
    pooled = (p * n + q * m) / (n + m)
    return 2 * stats.norm.sf(abs(p - q) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)))


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.5])
def test_up_to_a_thousand_reference_rows_its_tests_are_chosen(shift):
    rng = np.random.default_rng(1)
    before, after = columns(rng, 1000, 0.0), columns(rng, 1700, shift)
    found = by_name(before, after)
    assert {name: one.statistic for name, one in found.items()} == {
        "x": "ks",
        "few": "chisquare",
        "two": "z",
        "kind": "chisquare",
        "yes": "z",
        "same": "z",
    }
    assert found["x"].value == pytest.approx(stats.ks_2samp(before["x"], after["x"]).pvalue, rel=1e-6)
    assert found["two"].value == pytest.approx(z_pvalue(before, after, "two"), rel=1e-6)
    assert found["yes"].value == pytest.approx(z_pvalue(before, after, "yes"), rel=1e-6)
    assert found["same"].value == 1.0
    for one in found.values():
        assert one.threshold == 0.05
        assert one.drifted == (one.value < 0.05)


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.5])
def test_past_a_thousand_reference_rows_its_distances_are_chosen(shift):
    rng = np.random.default_rng(2)
    before, after = columns(rng, 1001, 0.0), columns(rng, 900, shift)
    found = by_name(before, after)
    spread = np.std(before["x"].to_numpy())
    assert found["x"].statistic == "wasserstein"
    assert found["x"].value == pytest.approx(stats.wasserstein_distance(before["x"], after["x"]) / spread, rel=1e-9)
    for name, levels in (("few", range(5)), ("two", (0, 1)), ("kind", "abcd"), ("yes", "ny"), ("same", (3.0,))):
        assert found[name].statistic == "jensenshannon"
        theirs = distance.jensenshannon(shares(before, name, levels), shares(after, name, levels))
        assert found[name].value == pytest.approx(theirs, abs=1e-8)
    for one in found.values():
        assert one.threshold == 0.1
        assert one.drifted == (one.value >= 0.1)


def test_rows_without_a_value_and_infinities_do_not_count_towards_the_thousand():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=900), np.full(100, np.nan), np.full(100, np.inf)])
    (drift,) = compare_as_evidently({"x": x}, {"x": x})
    assert drift.statistic == "ks"


@pytest.mark.parametrize("values", [5, 6])
def test_values_are_counted_over_both_tables(values):
    before = {"n": np.arange(2000) % 3}
    after = {"n": np.arange(2000) % values}
    (drift,) = compare_as_evidently(before, after)
    assert drift.statistic == ("jensenshannon" if values == 5 else "wasserstein")


def test_the_chi_squared_test_keeps_its_level_where_theirs_rejects_a_third():
    rng = np.random.default_rng(4)
    ours = theirs = 0
    for _ in range(400):
        before, after = (rng.choice(list("abcdefghij"), 800) for _ in range(2))
        (drift,) = compare_as_evidently({"k": before}, {"k": after})
        ours += drift.drifted
        expected, observed = (np.unique(side, return_counts=True)[1] for side in (before, after))
        theirs += stats.chisquare(observed, expected).pvalue < 0.05
    assert ours / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert theirs / 400 > 0.25


def test_what_stops_them_is_answered():
    rng = np.random.default_rng(5)
    x = rng.normal(size=2000)
    before = {"half": x, "unsigned": np.arange(2000, dtype=np.uint32), "empty": x, "gone": x, "text": x}
    after = {
        "half": np.where(rng.random(2000) < 0.5, np.nan, x),
        "unsigned": np.arange(2000, dtype=np.uint32) + 5000,
        "empty": np.full(2000, np.nan),
        "text": np.array(["a"] * 2000),
    }
    found = {one.column: one for one in compare_as_evidently(before, after)}
    assert {name: (one.statistic, one.drifted) for name, one in found.items()} == {
        "half": ("missing", True),
        "unsigned": ("wasserstein", True),
        "empty": ("missing", True),
        "gone": ("absent", True),
        "text": ("type", True),
    }


def test_empty_tables_and_columns_have_an_answer():
    for column in ([], [None], [1.0]):
        (drift,) = compare_as_evidently({"x": column}, {"x": []})
        assert not drift.drifted
    assert compare_as_evidently({}, {}) == []


@pytest.mark.parametrize("compare", [compare_as_evidently, compare_samples])
def test_a_nested_column_is_named(compare):
    rows = pl.DataFrame({"x": [1.0, 2.0], "tags": [["a"], ["b"]]})
    with pytest.raises(TypeError, match=r"column 'tags': .* nested"):
        compare(rows, rows)


def test_a_column_that_becomes_infinite_is_as_missing():
    (drift,) = compare_as_evidently({"x": np.arange(100.0)}, {"x": np.full(100, np.inf)})
    assert (drift.statistic, drift.drifted) == ("missing", True)
