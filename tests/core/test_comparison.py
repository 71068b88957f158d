"""References promise to survive JSON; comparisons promise few false alarms, and to name what really changed."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from core_samples import samples
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw_core import Reference, compare_column, compare_samples, compare_streams, compare_table, ks_2samp
from mlopsfw_core._numbers import ks_against


def through_json(reference):
    return Reference.from_dict(json.loads(json.dumps(reference.to_dict(), allow_nan=False)))


def same(one, other):
    return json.dumps(one.to_dict()) == json.dumps(other.to_dict())


def stationary(rng, rows):
    """A table of everything that makes tests misbehave; no column ever changes."""
    heavy = rng.standard_cauchy(rows)
    heavy[rng.random(rows) < 0.02] = np.nan
    heavy[rng.random(rows) < 0.01] = np.inf
    skewed = rng.gamma(1, 3, rows).astype(int)
    return {
        "normal": rng.normal(size=rows),
        "ties": rng.poisson(3, rows),
        "binary": rng.integers(0, 2, rows),
        "heavy": heavy,
        "skewed": np.array([None if rng.random() < 0.1 else f"c{level}" for level in skewed], dtype=object),
        "ids": np.array([f"id{row}" for row in range(rows)], dtype=object),
        "long_tail": np.minimum(rng.zipf(1.5, rows), 10**6).astype(str),
    }


def alarms(rows, trials, columns=None, **options):
    """Halve one stationary table at random, many times; return the share of halvings that flag anything."""
    rng = np.random.default_rng(rows)
    flagged = 0
    for _ in range(trials):
        table = stationary(rng, rows)
        table = {name: table[name] for name in columns or table}
        order = rng.permutation(rows)
        first, second = order[: rows // 2], order[rows // 2 :]
        references = {name: through_json(Reference.fit(column[first], **options)) for name, column in table.items()}
        drifts = compare_table(references, {name: column[second] for name, column in table.items()})
        flagged += any(drift.drifted for drift in drifts)
    return flagged / trials


TRIALS = [pytest.param(60, id="push"), pytest.param(1000, id="nightly", marks=pytest.mark.nightly)]


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("rows", [20, 50, 200, 2000])
def test_at_most_one_in_twenty_halvings_of_stationary_tables_flags_anything(rows, trials):
    assert alarms(rows, trials) <= 0.05


@pytest.mark.nightly
@pytest.mark.parametrize("column", ["normal", "binary", "skewed", "long_tail", "heavy"])
@pytest.mark.parametrize("rows", [50, 200, 2000])
def test_at_most_one_in_twenty_halvings_of_a_single_column_flags_it(column, rows):
    assert alarms(rows, 300, [column]) <= 0.05


@pytest.mark.nightly
def test_a_reduced_reference_raises_no_more_alarms():
    assert alarms(2000, 400, max_points=64, max_categories=8) <= 0.05


def shifted(rng, rows):
    """The stationary table with one change in each column."""
    table = stationary(rng, rows)
    half = rng.random(rows) < 0.5
    return {
        "normal": table["normal"] + 0.5,
        "ties": table["ties"] + 1,
        "binary": (rng.random(rows) < 0.7).astype(int),
        "heavy": table["heavy"] * 3,
        "skewed": np.where(half, "new", table["skewed"]),
        "ids": np.array(["same"] * rows, dtype=object),
        "long_tail": np.where(half, "1", table["long_tail"]),
    }


def test_every_real_change_is_found():
    rng = np.random.default_rng(0)
    before, after = stationary(rng, 2000), shifted(rng, 2000)
    references = {name: through_json(Reference.fit(column, max_categories=500)) for name, column in before.items()}
    drifts = {drift.column: drift for drift in compare_table(references, after)}
    assert [name for name, drift in drifts.items() if not drift.drifted] == []
    assert drifts["skewed"].details["unseen_share"] == pytest.approx(0.5, abs=0.05)
    assert drifts["skewed"].details["moved"][0]["category"] == "new"


def test_a_half_missing_column_is_found_and_said_to_be_missing():
    rng = np.random.default_rng(1)
    x = rng.normal(size=1000)
    for gone in (None, float("nan")):
        current = [gone if i % 2 else value for i, value in enumerate(x)]
        drift = Reference.fit(x, name="x").compare(current)
        assert (drift.statistic, drift.drifted) == ("missing", True)
        assert drift.value == pytest.approx(0.5)
        assert drift.details["missing_share"] == 0.5
    assert Reference.fit(["a", "b"] * 200).compare(["a", None] * 200).drifted


def test_a_change_too_small_to_matter_is_no_drift_however_sure():
    rng = np.random.default_rng(2)
    reference = Reference.fit(rng.normal(size=200_000))
    drift = reference.compare(rng.normal(0.03, size=200_000))
    assert drift.pvalue < 1e-6
    assert drift.effect < drift.threshold
    assert not drift.drifted
    assert reference.compare(rng.normal(0.03, size=200_000), threshold=0.001).drifted


def test_a_large_change_too_unsure_is_no_drift():
    drift = Reference.fit([0.0, 1.0, 2.0, 3.0, 4.0, 6.0]).compare([9.0, 10.0])
    assert drift.effect == 1
    assert not drift.drifted


@given(samples, samples)
def test_a_small_reference_gives_the_whole_samples_ks(x, y):
    reference = through_json(Reference.fit(x))
    full = ks_2samp(x, y)
    assert ks_against(reference.content, np.sort(y)) == pytest.approx(full[:2], rel=1e-12)


@given(st.integers(0, 10**6), st.sampled_from([8, 64, 500]), st.booleans())
def test_a_reduced_reference_misses_the_whole_samples_ks_by_no_more_than_its_slack(seed, points, tied):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=3000), rng.normal(rng.random(), size=300)
    x, y = (x.round(1), y.round(1)) if tied else (x, y)
    reference = Reference.fit(x, max_points=points)
    distance, pvalue = ks_against(reference.content, np.sort(y))
    full = ks_2samp(x, y, method="asymp")
    assert abs(distance - full.statistic) <= reference.content.slack + 1e-12
    assert pvalue >= full.pvalue * (1 - 1e-9)


def test_every_layout_makes_the_same_reference():
    values = [1.5, None, -2.0, float("nan"), 7.25] * 9
    texts = ["x", None, "y", "a text of more than twelve bytes"] * 9
    for column, dtype in ((values, pl.Float64), (texts, pl.String)):
        first = Reference.fit(column)
        chunked = pa.chunked_array([column[:7], column[7:]])
        for other in (pl.Series(column, dtype=dtype), pa.array(column), chunked, np.array(column, dtype=object)):
            assert same(Reference.fit(other), first)


def test_fit_and_compare_are_deterministic_and_change_nothing():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=9000), rng.normal(size=500)
    copies = x.copy(), y.copy()
    state = np.random.get_state()[1].tolist()  # noqa: NPY002 - the global generator is what must not be touched
    assert same(Reference.fit(x), Reference.fit(x[::-1]))
    assert Reference.fit(x).compare(y) == through_json(Reference.fit(x)).compare(y[::-1])
    assert np.array_equal(x, copies[0])
    assert np.array_equal(y, copies[1])
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


@pytest.mark.parametrize(
    "column",
    [
        [],
        [None],
        [float("nan")],
        [1.0],
        [5.0] * 30,
        [float("inf"), float("-inf")],
        [0.0, -0.0, 5e-324],
        [1e308, -1e308, 1e308],
        [1.7e308] * 5000,
        [True, False, None],
        ["", "", None],
        np.zeros(0, dtype="U1"),
    ],
    ids=str,
)
def test_odd_columns_have_an_answer_without_nan_and_compare_equal_with_themselves(column):
    reference = through_json(Reference.fit(column))
    for current in (column, [], [None], column[:1]):
        drift = reference.compare(current)
        json.dumps([drift.value, drift.pvalue, drift.effect, dict(drift.details)], allow_nan=False)
    assert not reference.compare(column).drifted


def test_order_is_most_drifted_first_and_false_discoveries_are_controlled():
    rng = np.random.default_rng(4)
    before = {f"c{i:02}": rng.normal(size=500) for i in range(40)}
    after = {name: rng.normal(0.8 if name in {"c07", "c31"} else 0.0, size=500) for name in before}
    after["c31"] += 2
    references = {name: Reference.fit(column) for name, column in before.items()}
    drifts = compare_table(references, pl.DataFrame(after))
    assert [drift.column for drift in drifts[:2]] == ["c31", "c07"]
    assert sum(drift.drifted for drift in drifts) == 2
    assert drifts == compare_table(references, after)
    assert all(drift.details["pvalue_adjusted"] >= drift.pvalue for drift in drifts)


def test_lost_and_changed_columns_are_drift():
    references = {"x": Reference.fit([1.0, 2.0]), "y": Reference.fit(["a"]), "z": Reference.fit([1.0, 2.0])}
    drifts = {drift.column: drift for drift in compare_table(references, {"x": ["a", "b"], "y": ["a"], "new": [1]})}
    assert (drifts["x"].statistic, drifts["x"].drifted) == ("type", True)
    assert (drifts["z"].statistic, drifts["z"].drifted) == ("absent", True)
    assert not drifts["y"].drifted
    assert "new" not in drifts


def test_thresholds_can_be_set_column_by_column():
    rng = np.random.default_rng(5)
    references = {name: Reference.fit(rng.normal(size=2000)) for name in "ab"}
    current = {name: rng.normal(0.4, size=2000) for name in "ab"}
    drifts = {drift.column: drift.drifted for drift in compare_table(references, current, thresholds={"b": 0.9})}
    assert drifts == {"a": True, "b": False}


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 2},
        {"format": None},
        {"numbers": {}},
        {"kind": "categorical"},
        {"numbers": None},
    ],
)
def test_stored_references_of_another_format_or_damaged_are_refused(damage):
    stored = Reference.fit([1.0, 2.0, 3.0]).to_dict()
    with pytest.raises(ValueError, match=r"format|damaged"):
        Reference.from_dict(stored | damage)


@pytest.mark.parametrize(
    "field",
    [
        {"points": [3.0, 1.0]},
        {"points": [1.0] * 9},
        {"edges": [2.0, 1.0]},
        {"counts": [1]},
        {"counts": [2**64]},
        {"finite": True},
        {"neg_inf": 1},
        {"std": "x"},
        {"levels": [[1.0, 1]]},
    ],
)
def test_stored_numbers_that_contradict_themselves_are_refused(field):
    stored = Reference.fit([1.0, 2.0, 3.0]).to_dict()
    stored["numbers"] |= field
    with pytest.raises(ValueError, match="damaged"):
        Reference.from_dict(stored)


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="kind"):
        Reference.fit([1.0], kind="text")


FRAME = {"a": np.arange(60.0), "b": [f"x{number % 3}" for number in range(60)]}


def _fitted():
    return {name: Reference.fit(column, name=name) for name, column in FRAME.items()}


REFUSED = {
    "two tables": (lambda: compare_table(pl.DataFrame(FRAME), pl.DataFrame(FRAME)), TypeError, "compare_samples"),
    "a column as reference": (lambda: compare_table(FRAME, FRAME), TypeError, "Reference.fit"),
    "a path": (lambda: compare_table(_fitted(), "x.csv"), TypeError, "str"),
    "no reference": (lambda: compare_column(1, FRAME["a"]), TypeError, "not a Reference"),
    "alpha 1": (lambda: compare_samples(FRAME, FRAME, alpha=1), ValueError, "alpha"),
    "alpha 0": (lambda: compare_table(_fitted(), FRAME, alpha=0), ValueError, "alpha"),
    "alpha nan": (lambda: compare_table(_fitted(), FRAME, alpha=float("nan")), ValueError, "alpha"),
    "alpha text": (lambda: compare_samples(FRAME, FRAME, alpha="0.05"), TypeError, "alpha"),
    "threshold": (lambda: compare_samples(FRAME, FRAME, threshold=-0.1), ValueError, "threshold"),
    "threshold of one": (lambda: compare_table(_fitted(), FRAME, thresholds={"a": 5}), ValueError, "threshold"),
    "threshold of a column": (lambda: compare_column(_fitted()["a"], FRAME["a"], threshold=2), ValueError, "threshold"),
    "threshold of none": (lambda: compare_table(_fitted(), FRAME, thresholds={"q": 0.1}), ValueError, "'q'"),
    "design of none": (lambda: compare_table(_fitted(), FRAME, design_effects={"q": 2.0}), ValueError, "'q'"),
    "design below 1": (lambda: compare_table(_fitted(), FRAME, design_effects={"a": 0.5}), ValueError, "design effect"),
    "unknown column": (lambda: compare_samples(FRAME, FRAME, ["q"]), ValueError, "'q'"),
    "stream of a table": (lambda: compare_streams(FRAME, lambda: [FRAME]), TypeError, "compare_samples"),
    "stream, alpha": (lambda: compare_streams(lambda: [FRAME], lambda: [FRAME], alpha=2), ValueError, "alpha"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_with_what_would(case):
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call()


def test_a_single_column_may_be_named_by_a_text():
    assert [drift.column for drift in compare_samples(FRAME, FRAME, "a")] == ["a"]
