"""Diff by key agrees with dictionaries whatever the key is and however rows are ordered; files of both versions are not read twice."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsfw.data.datasets.comparison import alignment, keyed
from mlopsfw.data.datasets.comparison.alignment import match
from mlopsfw.data.datasets.comparison.difference import compare
from mlopsfw.data.datasets.comparison.keyed import Sides, by_key
from mlopsfw.data.datasets.comparison.version_drift import compare_versions, effect_bound
from mlopsfw.data.datasets.versions import DatasetVersion
from mlopsfw.kernel.base.errors import DataError

NEAR = st.integers(0, 12)
FAR = st.sampled_from([-(2**63), -(2**40), -1, 0, 1, 2**40, 2**63 - 1])
KEYS = {
    "near": (NEAR, pl.Int64),
    "far": (FAR, pl.Int64),
    "small": (st.sampled_from([-128, -1, 0, 127]), pl.Int8),
    "unsigned": (st.sampled_from([0, 1, 2**63, 2**64 - 1]), pl.UInt64),
    "null": (st.none() | NEAR, pl.Int64),
    "text": (st.none() | st.text("ab\0é", max_size=2), pl.String),
    "day": (st.dates(dt.date(2020, 1, 1), dt.date(2020, 1, 9)), pl.Date),
    "float": (st.sampled_from([0.0, 1.5, -1.5, math.inf]), pl.Float64),
    "bytes": (st.binary(max_size=1), pl.Binary),
}


def same(a, b):
    return a == b or (a != a and b != b)  # noqa: PLR0124 - NaN


@pytest.fixture(params=[3, alignment._BLOCK], ids=["few at a time", "many at a time"])
def block(request, monkeypatch):
    monkeypatch.setattr(alignment, "_BLOCK", request.param)


@pytest.mark.parametrize("kind", KEYS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_by_key_agrees_with_dictionaries(block, kind, data):
    keys, dtype = KEYS[kind]
    value = st.none() | st.sampled_from([0.0, 1.0, math.nan])
    rows = st.lists(st.tuples(keys, value), unique_by=lambda row: row[0], max_size=12)
    schema = {"k": dtype, "v": pl.Float64}
    parts = [data.draw(rows) for _ in range(3)]
    seen = {row[0] for row in parts[2]}
    old, new = ([row for row in part if row[0] not in seen] for part in parts[:2])
    frames = [pl.LazyFrame(part, schema=schema, orient="row") for part in (old, new, parts[2])]
    found = by_key(Sides(*frames), ["k"], ["v"], ("a", "b"))
    a, b = dict(old), dict(new)
    changed = [key for key in a if key in b and not same(a[key], b[key])]
    assert (found["added"], found["removed"]) == (len(b.keys() - a.keys()), len(a.keys() - b.keys()))
    assert found["changed"] == len(changed) == found["changed_columns"].get("v", 0)
    assert {row["k"] for row in found["examples"].get("changed", [])} <= set(changed)
    assert {row["k"] for row in found["examples"].get("added", [])} <= b.keys() - a.keys()
    assert {row["k"] for row in found["examples"].get("removed", [])} <= a.keys() - b.keys()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whole_rows_are_counted_as_often_as_they_stand_there(data):
    cell = st.tuples(
        st.none() | st.integers(0, 1), st.none() | st.sampled_from([0.0, -0.0, math.nan]), st.lists(NEAR, max_size=1)
    )
    schema = {"a": pl.Int64, "b": pl.Float64, "c": pl.List(pl.Int64)}
    old, new = (data.draw(st.lists(cell, max_size=8)) for _ in range(2))
    before, after = (Counter((a, repr(b if b is None else b + 0.0), *c) for a, b, c in side) for side in (old, new))
    frames = [pl.LazyFrame(side, schema=schema, orient="row") for side in (old, new)]
    versions = [
        DatasetVersion(
            name="x", version=n, digest=str(n), rows=len(side), columns=dict.fromkeys(schema, ""), mode="replace"
        )
        for n, side in enumerate((old, new))
    ]
    found = compare(*versions, Sides(*frames))
    assert (found.added, found.removed) == ((after - before).total(), (before - after).total())


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(12)), st.permutations(range(12)), st.integers(0, 12), st.integers(0, 12), st.booleans())
def test_every_pair_is_found_at_its_places_and_nothing_else(one, other, n, m, sparse):
    scale = 10**15 if sparse else 1
    old, new = (np.array(side[:size], np.int64) * scale for side, size in ((one, n), (other, m)))
    pairs = match(old, new)
    both = np.intersect1d(old, new)
    assert len(pairs) == len(both)
    assert set(old[pairs.at(np.arange(len(pairs)))].tolist()) == set(both.tolist())
    assert old[pairs.alone(0)].tolist() == [k for k in old.tolist() if k not in both]
    assert new[pairs.alone(1)].tolist() == [k for k in new.tolist() if k not in both]
    assert not pairs.differ(pl.Series(old), pl.Series(new)).any()


def test_a_key_of_several_columns_finds_what_each_alone_would_not():
    old = pl.LazyFrame({"a": [1, 1, 2], "b": ["x", None, "x"], "v": [1, 2, 3]})
    new = pl.LazyFrame({"a": [2, 1, 1], "b": ["x", "y", None], "v": [3, 1, 9]})
    found = by_key(Sides(old, new), ["a", "b"], ["v"], ("a", "b"))
    assert (found["added"], found["removed"], found["changed"]) == (1, 1, 1)
    assert found["examples"] == {
        "added": [{"a": 1, "b": "y"}], "removed": [{"a": 1, "b": "x"}], "changed": [{"a": 1, "b": None}],
    }  # fmt: skip


WHOLE = [
    (pl.Int64, FAR),
    (pl.Int64, NEAR),
    (pl.Int8, KEYS["small"][0]),
    (pl.UInt64, KEYS["unsigned"][0]),
    KEYS["day"][::-1],
]


@settings(max_examples=150, deadline=None)
@given(columns=st.lists(st.sampled_from(WHOLE), min_size=1, max_size=3), data=st.data())
def test_keys_of_whole_numbers_get_one_number_if_and_only_if_they_are_the_same(columns, data):
    key = [f"k{place}" for place in range(len(columns))]
    schema = dict(zip(key, (dtype for dtype, _ in columns), strict=True))
    rows = st.lists(st.tuples(*(st.none() | values for _, values in columns)), max_size=12)
    sides = [data.draw(rows) for _ in range(2)]
    found, exact = alignment.codes([pl.LazyFrame(side, schema=schema, orient="row") for side in sides], key, 0)
    pairs = list(zip([*sides[0], *sides[1]], np.concatenate(found).tolist(), strict=True))
    numbers = dict(pairs)
    assert all(numbers[row] == number for row, number in pairs)
    assert len(set(numbers.values())) == len(numbers) or not exact
    assert exact or len(columns) > 1 or columns[0][0] in (pl.Int64, pl.UInt64)


def test_keys_that_get_one_number_are_told_apart_all_the_same(monkeypatch):
    real, seeds = keyed.codes, []

    def weak(sides, key, seed):
        seeds.append(seed)
        numbers, exact = real(sides, key, seed)
        return ([side % (2, 10)[seed] for side in numbers] if seed < 2 else numbers), exact

    monkeypatch.setattr(keyed, "codes", weak)
    old, new = (pl.LazyFrame({"k": [f"{side}{n}" for n in range(4)] + ["both"], "v": range(5)}) for side in "ab")
    found = by_key(Sides(old, new), ["k"], ["v"], ("a", "b"))
    assert (found["added"], found["removed"], found["changed"]) == (4, 4, 0)
    assert max(seeds) >= 1


@pytest.mark.parametrize("where", ["old", "new", "shared", "across"])
def test_rows_that_share_a_key_are_refused_wherever_they_are(where):
    parts = {"old": [1], "new": [2], "shared": [3]}
    parts["old" if where == "across" else where].append(3 if where == "across" else parts[where][0])
    sides = Sides(*(pl.LazyFrame({"k": parts[side], "v": parts[side]}) for side in ("old", "new", "shared")))
    with pytest.raises(DataError, match="2 rows share the key"):
        by_key(sides, ["k"], ["v"], ("a", "b"))


@pytest.fixture
def datasets(project):
    rows = pl.DataFrame({"id": range(1000), "v": [float(n) for n in range(1000)], "l": [[n] for n in range(1000)]})
    project.datasets.commit("x", rows)
    project.datasets.commit("x", pl.DataFrame({"id": [1000], "v": [0.0], "l": [[0]]}), "append")
    project.datasets.commit(
        "x", rows.with_columns(v=pl.col("v") * 3).sample(fraction=1, shuffle=True, seed=1), "replace"
    )
    return project.datasets


def test_rows_of_files_that_both_versions_have_are_left_out_and_counted_right(datasets):
    one, two, three = reversed(datasets.log("x"))
    sides = datasets.sides(one, two)
    assert [side.collect().height for side in sides] == [0, 1, 1000]
    assert [side if side is None else side.collect().height for side in datasets.sides(two, three)] == [
        1001,
        1000,
        None,
    ]
    found = datasets.diff("x", 1, 2, ["id"])
    assert (found.added, found.removed, found.changed, found.examples) == (1, 0, 0, {"added": [{"id": 1000}]})
    assert (datasets.diff("x", 2, 1, ["id"]).removed, datasets.diff("x", 1, 2).added) == (1, 1)
    shuffled = datasets.diff("x", 1, 3, ["id"])
    assert (shuffled.added, shuffled.removed, shuffled.changed) == (0, 0, 999)
    assert shuffled.changed_columns == {"v": 999}


def test_drift_between_versions_is_told_column_by_column_streamed_or_not(datasets, monkeypatch):
    one, two, three = reversed(datasets.log("x"))
    assert not compare_versions(datasets, one, two).alarm
    found = compare_versions(datasets, one, three)
    assert found.drifted == ["v"]
    assert {drift.column for drift in found.drifts} == {"id", "v"}  # nested values are left out
    monkeypatch.setattr("mlopsfw.data.datasets.comparison.version_drift.STREAM_FROM", 1)
    streamed = compare_versions(datasets, one, three)
    assert streamed.stream is not None
    assert streamed.drifted == ["v"]
    assert streamed.drifts[0].effect == pytest.approx(found.drifts[0].effect, abs=streamed.error + 1e-9)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_effect_exceeds_the_bound_that_the_differing_rows_tell(project, data):
    """Whatever came, went and changed, with nulls and NaN among it."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    size, empty = data.draw(st.integers(50, 300)), data.draw(st.sampled_from([0.0, 0.5, 0.95]))
    nothing = data.draw(st.sampled_from([None, math.nan]))
    values = [nothing if rng.random() < empty else float(v) for v in rng.normal(size=size)]
    old = pl.DataFrame(
        {"id": range(size), "v": values, "c": rng.choice(["a", "b", "c"], size)}, schema_overrides={"v": pl.Float64}
    )
    share = data.draw(st.sampled_from([0.0, 0.02, 0.2]))
    hit = pl.Series(rng.random(size) < share)
    new = old.with_columns(
        v=pl.when(hit).then(pl.lit(9.0)).otherwise("v"), c=pl.when(hit).then(pl.lit("z")).otherwise("c")
    ).slice(data.draw(st.integers(0, 5)))
    new = pl.concat([new, new.tail(data.draw(st.integers(0, 5))).with_columns(pl.col("id") + size)])
    project.datasets.commit("b", old, "replace", force=True)
    after = project.datasets.commit("b", new, "replace", force=True)
    before = project.datasets.resolve("b", after.version - 1)
    found = project.datasets.diff("b", before.version, after.version, ["id"])
    bound = effect_bound(project.datasets, before, after, found)
    for drift in compare_versions(project.datasets, before, after).drifts:
        assert drift.effect <= bound + 1e-12


def test_the_verb_tells_rows_and_drift_as_a_table_as_json_and_as_a_page(datasets, project, tmp_path, capsys):
    from mlopsfw.cli import run

    def verb(*words):
        code = run(["--project", str(project.root), "data", "diff", "x", *words])
        return code, capsys.readouterr().out

    datasets.tag("x", "tripled", 3)
    code, text = verb("1", "tripled", "--key", "id", "--html", str(tmp_path / "page.html"))
    assert code == 0
    assert "0 added, 0 removed, 999 changed" in text
    assert "Drift: 1 of 2 columns" in text
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<figure") == 2
    assert "<h1>data:/x@3 compared with data:/x@1</h1>" in page
    assert "0 added, 0 removed, 999 changed" in page
    said = json.loads(verb("1", "3", "--json")[1])
    assert said["drift"]["drifted"] == ["v"]
    assert said["changed_columns"] == {}
    assert 0.9 < said["drift"]["bound"] <= 1
    assert "Drift: none; at most 0.10%" in verb("1", "2", "--key", "id")[1]
    few = json.loads(verb("1", "2", "--key", "id", "--json")[1])["drift"]
    assert few == {"drifted": [], "columns": [], "bound": pytest.approx(0.001)}
    assert "drift" not in json.loads(verb("1", "3", "--no-drift", "--json")[1])
    assert "The content is the same." in verb("1", "1")[1]
    assert verb("1", "nothing")[0] == 2
