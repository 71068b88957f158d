"""Folds divide rows as they say: scikit-learn's splitters are the oracle of the plain ones, the law of overlap that of the purged ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, StratifiedKFold, TimeSeriesSplit

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.errors import ConfigError, DataError
from mlopsfw.roles import TrainingTask
from mlopsfw.training.folds import Folds, make_folds, rows_at

START = datetime(2026, 1, 1, tzinfo=UTC)


def table(rows=120, hours=1, seed=0):
    draw = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "at": [START + timedelta(hours=hours * n) for n in range(rows)],
            "y": draw.integers(0, 2, rows),
            "who": [f"g{n}" for n in draw.integers(0, 17, rows)],
        }
    )


def task(time="", kind="binary", seed=0):
    return TrainingTask(task=kind, target="y", time=time, seed=seed)


def test_folds_by_time_are_those_of_scikit_learns_time_series_split():
    rows = table(120)
    made = make_folds(rows, Folds(by="time"), task("at"))
    expected = TimeSeriesSplit(5).split(rows)
    for fold, (train, test) in zip(made, expected, strict=True):
        assert fold.train.tolist() == train.tolist()
        assert fold.validation.tolist() == test.tolist()


def test_the_order_of_the_file_does_not_count_for_folds_by_time():
    rows, drawn = table(), np.random.default_rng(5).permutation(120)
    made = [make_folds(each, Folds(), task("at")) for each in (rows, rows[drawn])]
    for straight, shuffled in zip(*made, strict=True):
        assert sorted(drawn[shuffled.validation]) == straight.validation.tolist()


def test_each_class_is_alike_in_every_stratified_fold_as_in_scikit_learns():
    rows = pl.DataFrame({"y": ["a"] * 61 + ["b"] * 17 + ["c"] * 8})
    made = make_folds(rows, Folds(by="stratified"), task())
    sizes = sorted(rows["y"][fold.validation].value_counts(sort=True)["count"].to_list() for fold in made)
    oracle = StratifiedKFold(5, shuffle=True, random_state=0).split(rows, rows["y"])
    expected = sorted(rows["y"][test].value_counts(sort=True)["count"].to_list() for _, test in oracle)
    assert np.abs(np.array(sizes) - np.array(expected)).max() <= 1


def test_folds_by_group_are_as_even_as_scikit_learns_and_no_group_is_on_both_sides():
    rows = table()
    made = make_folds(rows, Folds(group="who"), task())
    expected = sorted(len(test) for _, test in GroupKFold(5).split(rows, groups=rows["who"]))
    assert sorted(len(fold.validation) for fold in made) == expected
    for fold in made:
        assert not set(rows["who"][fold.train]) & set(rows["who"][fold.validation])


@pytest.mark.parametrize("by", ["random", "stratified", "group"])
def test_each_row_judges_once_and_the_same_seed_gives_the_same_folds(by):
    rows, folds = table(), Folds(by=by, group="who")
    made, again = (make_folds(rows, folds, task(seed=3)) for _ in range(2))
    assert sorted(np.concatenate([fold.validation for fold in made])) == list(range(120))
    assert all(np.array_equal(*pair) for pair in zip([f.train for f in made], [f.train for f in again], strict=True))
    assert all(sorted([*fold.train, *fold.validation]) == list(range(120)) for fold in made)


@pytest.mark.parametrize(("by", "share"), [("time", 0.25), ("random", 0.3), ("stratified", 0.1), ("group", 0.2)])
def test_a_hold_out_has_its_share(by, share):
    rows = table(1200)
    (fold,) = make_folds(rows, Folds(by=by, folds=1, share=share, group="who"), task("at" if by == "time" else ""))
    assert len(fold.validation) == pytest.approx(1200 * share, abs=100 if by == "group" else 1)
    if by == "time":
        assert fold.validation.tolist() == list(range(900, 1200))


@given(
    hours=st.lists(st.integers(0, 60), min_size=40, max_size=120),
    delay=st.integers(0, 6),
    embargo=st.integers(0, 5),
    by=st.sampled_from(["time", "purged"]),
)
def test_no_label_that_is_learned_from_overlaps_one_that_is_judged(hours, delay, embargo, by):
    rows = pl.DataFrame({"at": [START + timedelta(hours=h) for h in hours], "y": [0] * len(hours)})
    gap = {"embargo": f"{embargo}h"} if by == "purged" else {}
    try:
        made = make_folds(rows, Folds(by=by, folds=3, label_delay=f"{delay}h", **gap), task("at"))
    except DataError:
        return  # too few moments
    at = np.array(hours)
    for fold in made:
        first, last = at[fold.validation].min(), at[fold.validation].max() + delay
        train = at[fold.train]
        earlier, later = train[train < first], train[train >= first]
        assert (earlier + delay <= first).all()
        assert by == "purged" or not len(later)
        assert (later >= last + embargo).all()


def test_as_many_folds_as_groups_judge_a_group_each():
    made = make_folds(pl.DataFrame({"y": [0, 1] * 3, "who": [0, 0, 1, 1, 2, 2]}), Folds(group="who", folds=3), task())
    assert [fold.validation.tolist() for fold in made] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("seed", range(4))
def test_a_hold_out_of_groups_judges_by_one_however_large_it_is(seed):
    rows = pl.DataFrame({"y": [0, 1] * 50, "who": [0] * 90 + [1] * 10})
    (fold,) = make_folds(rows, Folds(group="who", folds=1), task(seed=seed))
    assert {len(fold.train), len(fold.validation)} == {90, 10}


def test_purged_folds_judge_each_row_once():
    made = make_folds(table(), Folds(by="purged", label_delay="3h", embargo="2h"), task("at"))
    assert np.concatenate([fold.validation for fold in made]).tolist() == list(range(120))
    assert [120 - len(fold.train) - len(fold.validation) for fold in made] == [4, 6, 6, 6, 2]


def test_the_column_of_label_times_purges_each_row_by_its_own_delay():
    rows = table().with_columns(known=pl.col("at") + pl.duration(hours=pl.when(pl.col("y") == 1).then(9).otherwise(0)))
    (fold,) = make_folds(rows, Folds(by="time", folds=1, label_time="known"), task("at"))
    left_out = set(range(96)) - set(fold.train.tolist())
    assert left_out == {n for n in range(88, 96) if rows["y"][n] == 1}
    rows = rows.with_columns(known=pl.lit(None, pl.Date))
    with pytest.raises(DataError, match="no train rows"):
        make_folds(rows, Folds(by="time", folds=1, label_time="known"), task("at"))


def test_a_window_leaves_out_what_is_too_old():
    made = make_folds(table(), Folds(by="time", window="10h"), task("at"))
    assert {len(fold.train) for fold in made} == {10}


def test_rows_without_a_time_are_in_no_fold():
    rows = table().with_columns(at=pl.when(pl.int_range(pl.len()) % 10 > 0).then("at"))
    used = {row for fold in make_folds(rows, Folds(by="purged"), task("at")) for part in fold for row in part.tolist()}
    assert used == {n for n in range(120) if n % 10}


@pytest.mark.parametrize(
    ("folds", "time", "kind", "expected"),
    [
        ({}, "at", "binary", "time"),
        ({"embargo": "1d"}, "at", "binary", "purged"),
        ({"group": "who"}, "at", "binary", "time"),
        ({"group": "who"}, "", "binary", "group"),
        ({}, "", "multiclass", "stratified"),
        ({}, "", "regression", "random"),
    ],
)
def test_the_default_is_by_time_where_rows_have_one(folds, time, kind, expected):
    assert Folds(**folds).order(task(time, kind)) == expected


@pytest.mark.parametrize("by", ["random", "stratified", "group"])
def test_shuffling_rows_with_a_time_needs_consent(by):
    with pytest.raises(ConfigError, match="rows after those judged") as error:
        make_folds(table(), Folds(by=by, group="who"), task("at"))
    assert "shuffle_time = true" in error.value.hint
    assert len(make_folds(table(), Folds(by=by, group="who", shuffle_time=True), task("at"))) == 5


@pytest.mark.parametrize(
    ("folds", "rows", "words"),
    [
        ({"by": "time", "label_delay": "90d"}, table(), "fold 1 of 5 by time has no train rows"),
        ({"by": "time"}, table().with_columns(at=pl.lit(START)), "has no train rows"),
        ({"by": "random", "folds": 1_000_000_000}, table(), "1000000000 folds need as many rows, not 120"),
        ({"by": "time"}, table().with_columns(at=pl.lit(1.0)), "is Float64, not a date"),
        ({"by": "time"}, table().with_columns(at=pl.lit(None, pl.Date)), "no row has an event time"),
        ({"by": "group", "group": "who", "folds": 30, "shuffle_time": True}, table(), "has 17 groups"),
        ({"group": "whom"}, table(), "no column 'whom'"),
        (
            {"by": "stratified", "shuffle_time": True},
            table().with_columns(y=pl.lit(0.5)),
            "need classes",
        ),
    ],
)
def test_folds_that_cannot_be_made_are_an_error_in_words(folds, rows, words):
    with pytest.raises(DataError, match=words):
        make_folds(rows, Folds(**folds), task("at"))


@pytest.mark.parametrize(
    "folds",
    [
        {"by": "group"},
        {"label_delay": "1d", "label_time": "known"},
        {"by": "purged", "folds": 1},
        {"embargo": "soon"},
    ],
)
def test_options_that_contradict_are_refused_where_they_are_read(folds):
    with pytest.raises(ConfigError, match=r"^tune\.folds\.\w+: "):
        Folds(**folds).check("tune.folds")


@pytest.mark.parametrize(
    ("folds", "time"),
    [({"by": "time", "embargo": "1d"}, "at"), ({"window": "1d"}, ""), ({"embargo": "1d", "window": "1d"}, "at")],
)
def test_an_option_that_would_be_ignored_is_refused(folds, time):
    with pytest.raises(ConfigError, match=r"(embargo|window) is for folds by"):
        Folds(**folds).order(task(time))


def test_the_rows_of_a_fold_are_a_handle_on_them(tmp_path):
    rows = table()
    index = np.array([3, 5, 80])
    part = rows_at(TableHandle.of(rows), index, tmp_path / "fold.arrow")
    assert part.rows == 3
    assert part.lazy().collect().equals(rows[index])
    assert pl.DataFrame(next(iter(part.batches(size=2)))).equals(rows[[3, 5]])
    assert part.digest != rows_at(TableHandle.of(rows), index + 1, tmp_path / "other.arrow").digest
