"""Profiles promise exact counts, extremes and merging, quantiles and frequent items within what they state, for every Arrow type."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from decimal import Decimal

import datasketches
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsfw_core.profile import TableProfile, ks_bounds, profile, profile_column, psi

SIZE = 200_000
rng = np.random.default_rng(7)
SHAPES = {
    "uniform": rng.random(SIZE),
    "heavy": rng.standard_cauchy(SIZE),
    "sorted": np.sort(rng.normal(size=SIZE)),
    "reversed": np.sort(rng.normal(size=SIZE))[::-1],
    "tied": rng.integers(0, 7, SIZE).astype(float),
    "zipf": rng.zipf(1.4, SIZE).astype(float),
    "periodic": np.sin(np.arange(SIZE) * 0.01),
}
cells = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324]))
columns = st.lists(cells, max_size=60).map(lambda values: pl.Series(values, dtype=pl.Float64))


def exact(found):
    return found.kind, found.rows, found.nulls, found.nan, found.neg_inf, found.pos_inf, found.distinct_values


def close(a, b):
    return a == pytest.approx(b, rel=1e-9, abs=1e-9, nan_ok=True)


def rank_gaps(found, values):
    """The largest distance of a stated rank from the true one, ties counted as reached anywhere within them."""
    ordered = np.sort(values)
    return max(
        abs(found.rank(at) - np.searchsorted(ordered, at, side="right") / ordered.size)
        for at in ordered[:: ordered.size // 97].tolist()
    )


@given(columns, columns)
def test_a_merge_is_one_pass_over_both(a, b):
    both, whole = profile_column(a).merge(profile_column(b)), profile_column(pl.concat([a, b]))
    assert exact(both) == exact(whole)
    assert (both.min, both.max) == pytest.approx((whole.min, whole.max), nan_ok=True, abs=0)
    assert close(both.mean, whole.mean)
    assert close(both.stddev, whole.stddev)
    assert both.frequent.lost or Counter(both.frequent_items()) == Counter(whole.frequent_items())


@given(columns, columns, columns)
def test_merging_is_associative_and_commutative(a, b, c):
    first, second, third = map(profile_column, (a, b, c))
    left, right = first.merge(second).merge(third), first.merge(second.merge(third))
    assert exact(left) == exact(right)
    assert close(left.mean, right.mean)
    assert [close(left.quantile(q), right.quantile(q)) for q in (0, 0.25, 0.5, 1)] == [True] * 4
    assert first.merge(second).to_bytes() == second.merge(first).to_bytes()


@given(columns)
def test_counts_extremes_and_moments_are_those_of_the_values(column):
    found, values = profile_column(column), column.drop_nulls().to_numpy()
    finite = values[np.isfinite(values)]
    assert found.nulls == column.null_count()
    assert (found.nan, found.pos_inf, found.neg_inf) == (
        np.isnan(values).sum(), np.isposinf(values).sum(), np.isneginf(values).sum(),
    )  # fmt: skip
    if finite.size:
        assert found.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-9)
        assert found.min == np.nanmin(values)
        assert found.max == np.nanmax(values)
    if finite.size > 1:
        assert found.stddev == pytest.approx(finite.std(ddof=1), rel=1e-9, abs=1e-9)


@given(columns)
def test_small_columns_have_exact_quantiles_and_frequent_items(column):
    found, values = profile_column(column), column.drop_nulls().drop_nans().to_numpy()
    assert found.rank_error() == 0
    for at in values.tolist():
        assert found.rank(at) == pytest.approx((values <= at).mean())
    finite = Counter((values[np.isfinite(values)] + 0.0).tolist())
    if len(finite) <= 32:
        assert {item.value: item.lower for item in found.frequent_items()} == dict(finite)


@pytest.mark.parametrize("shape", SHAPES)
def test_ranks_keep_their_stated_error(shape):
    found = profile_column(SHAPES[shape])
    assert 0 < found.rank_error() < 0.0133  # what datasketches' KLL states for k = 200
    assert rank_gaps(found, SHAPES[shape]) <= found.rank_error(0.9999)


@pytest.mark.parametrize("shape", SHAPES)
def test_ranks_keep_their_stated_error_over_any_tree_of_merges(shape):
    parts = [profile_column(part) for part in np.array_split(SHAPES[shape], 64)]
    left = parts[0]
    for part in parts[1:]:
        left = left.merge(part)
    while len(parts) > 1:
        parts = [a.merge(b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    for found in (left, parts[0]):
        assert found.rows == SIZE
        assert found.rank_error() < 0.05
        assert rank_gaps(found, SHAPES[shape]) <= found.rank_error(0.9999)


@pytest.mark.parametrize("shape", ["uniform", "heavy", "periodic"])
def test_the_rank_error_is_no_larger_than_that_of_kll_at_its_default(shape):
    ours, theirs, values = [], [], SHAPES[shape]
    points = np.sort(values)[:: SIZE // 97]
    for start in range(0, SIZE, SIZE // 10):
        turned = np.roll(values, start)
        peer = datasketches.kll_doubles_sketch(200)
        peer.update(turned)
        found = profile_column(turned, seed=start)
        truth = (np.arange(points.size) * (SIZE // 97) + 1) / SIZE
        ours += (np.array(found.cdf(points.tolist())) - truth).tolist()
        theirs += (np.array([peer.get_rank(at, inclusive=True) for at in points.tolist()]) - truth).tolist()
    assert np.sqrt(np.mean(np.square(ours))) < 1.5 * np.sqrt(np.mean(np.square(theirs)))


@pytest.mark.parametrize("many", [0, 1, 10, 1_000, 30_000, 200_000])
def test_distinct_values_are_within_four_standard_errors(many):
    found = profile_column(np.tile(np.arange(many) * 0.37, 2))
    assert abs(found.distinct - many) <= 4 * 0.0325 * many


@pytest.mark.parametrize("shape", ["tied", "zipf", "uniform"])
def test_frequent_items_keep_their_bounds(shape):
    values, found = SHAPES[shape], profile_column(SHAPES[shape])
    truth = Counter(values.tolist())
    for item in found.frequent_items():
        assert item.lower <= truth[item.value] <= item.upper
    kept = {item.value for item in found.frequent_items()}
    assert all(count <= found.frequent.lost for value, count in truth.items() if value not in kept)
    assert found.frequent.lost <= SIZE * (1 / 33 + 1 / 256)


ARROW = {
    "int8": pa.array([1, None, -3], pa.int8()), "uint64": pa.array([1, None, 2**60], pa.uint64()),
    "half": pa.array(np.array([1, 2], np.float16)), "float": pa.array([1.5, None], pa.float32()),
    "bool": pa.array([True, None, False]), "string": pa.array(["a", None, "äö"]),
    "large": pa.array(["a", None], pa.large_string()), "view": pa.array(["a" * 20, None], pa.string_view()),
    "binary": pa.array([b"\xff", None]), "fixed": pa.array([b"ab", None], pa.binary(2)), "null": pa.nulls(3),
    "date": pa.array([dt.date(2024, 2, 29), None]), "date64": pa.array([0, None], pa.date64()),
    "second": pa.array([0, None], pa.timestamp("s")), "zone": pa.array([0, None], pa.timestamp("ns", "UTC")),
    "time": pa.array([dt.time(13), None]), "duration": pa.array([5, None], pa.duration("ms")),
    "decimal": pa.array([Decimal("1.25"), None]), "decimal256": pa.array([Decimal("1.25"), None], pa.decimal256(40, 2)),
    "dictionary": pa.array(["a", None, "a"]).dictionary_encode(), "coded": pa.array([2.5, None]).dictionary_encode(),
    "list": pa.array([[1], None, []]), "floats": pa.array([[1.0, 2.0], None, [None, 1.0], []]),
    "fixed_list": pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2)), "struct": pa.array([{"a": 1}, None]),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())),
}  # fmt: skip


@pytest.mark.parametrize("name", ARROW)
def test_every_arrow_type_counts_its_nulls_and_comes_back_from_bytes(name):
    table = pa.table({"column": ARROW[name]})
    found = profile(table)
    assert (found["column"].rows, found["column"].nulls) == (len(table), ARROW[name].null_count)
    assert TableProfile.from_bytes(found.to_bytes()) == found
    assert profile(iter([table, table]))["column"].rows == 2 * len(table)


@pytest.mark.parametrize("name", ARROW)
@settings(max_examples=10)
@given(data=st.data())
def test_slices_and_chunks_at_any_offset_change_no_count(name, data):
    longer = pa.concat_arrays([ARROW[name].slice(0)] * 5)
    start = data.draw(st.integers(0, len(longer)))
    cut = data.draw(st.integers(start, len(longer)))
    whole = profile(pa.table({"c": longer.slice(start)}))["c"]
    parts = profile(pa.table({"c": pa.chunked_array([longer.slice(start, cut - start), longer.slice(cut)])}))["c"]
    assert exact(parts) == exact(whole)
    assert whole.nulls == longer.slice(start).null_count
    assert (parts.characters, parts.clock) == (whole.characters, whole.clock)
    assert parts.frequent == whole.frequent


def test_chunks_change_no_byte_of_a_number_column():
    values = pl.Series(SHAPES["heavy"])
    chunked = pl.concat([values[:7], values[7:90_001], values[90_001:]], rechunk=False)
    assert profile_column(chunked).to_bytes() == profile_column(values).to_bytes()


def test_threads_change_no_byte(monkeypatch):
    frame = pl.DataFrame({**SHAPES, "text": [str(i % 999) for i in range(SIZE)]})
    made = []
    for threads in ("1", "2"):
        monkeypatch.setenv("MLOPSFW_THREADS", threads)
        made.append(profile(frame).to_bytes())
    assert made[0] == made[1]


def test_texts_tell_characters_from_bytes():
    found = profile_column(pl.Series(["aB 1!", "ä€😀", None, ""]))
    assert (found.min, found.max) == (0, 5)
    assert found.charset()["two_bytes"] == (1, 1)
    assert found.charset()["four_bytes"] == (1, 1)
    assert found.charset()["lower"] == (1, 1)
    assert {item.value for item in found.frequent_items()} == {"aB 1!", "ä€😀", ""}


def test_times_count_hours_and_weekdays():
    moments = pl.Series(np.array(["2024-01-01T05", "1969-12-31T23", "NaT"], "M8[us]"))
    found = profile_column(moments)
    assert (found.hours()[5], found.hours()[23], sum(found.hours())) == (1, 1, 2)
    assert found.weekdays() == (1, 0, 1, 0, 0, 0, 0)
    assert found.min == -3600


def test_embeddings_have_norms_means_and_projections():
    vectors = rng.normal(size=(500, 64)) + 2
    found = profile_column(pl.Series(vectors))
    assert found.mean == pytest.approx(np.linalg.norm(vectors, axis=1).mean())
    assert found.vectors.means == pytest.approx(vectors.mean(axis=0).tolist())
    assert len(found.vectors.projections) == 8
    assert found.merge(found).vectors.means == pytest.approx(found.vectors.means)
    assert profile_column(pl.Series(vectors[:, :3])).vectors.width == 3


@pytest.mark.parametrize("kind", ["number", "text", "vector", "time"])
def test_a_column_takes_at_most_four_kilobytes(kind):
    worst = {
        "number": np.concatenate([rng.normal(size=100_000), np.repeat(rng.normal(size=32), 5_000)]),
        "text": [f"{i % 32:060d}" for i in range(5_000)],
        "vector": rng.normal(size=(2_000, 128)),
        "time": (rng.integers(0, 2**40, 100_000)).astype("M8[us]"),
    }
    found = profile_column(pl.Series(worst[kind]))
    assert len(found.to_bytes()) <= 4096
    assert len(found.merge(found).to_bytes()) <= 4096


def test_drift_between_profiles_is_bounded_by_what_they_state():
    a, b = SHAPES["uniform"], SHAPES["uniform"] * 0.9 + 0.1
    found = ks_bounds(profile_column(a), profile_column(b))
    assert found.lower <= 0.1 <= found.upper
    assert found.upper - found.lower < 0.1
    assert psi(profile_column(a), profile_column(a)) == pytest.approx(0, abs=1e-9)
    assert psi(profile_column(a), profile_column(b)) > 0.05


def test_columns_of_different_kinds_do_not_merge_unless_one_is_empty():
    number, text = profile_column(pl.Series([1.0])), profile_column(pl.Series(["a"]))
    with pytest.raises(ValueError, match="do not merge"):
        number.merge(text)
    assert number.merge(profile_column(pl.Series([None]))).rows == 2
