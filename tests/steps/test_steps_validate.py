"""The step validate: metrics of rows that no model learned from, with intervals that heed what belongs together, and its doubts in words."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mlopsfw.errors import ConfigError, DataError, UsageError
from mlopsfw.steps.validate import mlopsfw_steps
from mlopsfw.testing.step import Bench

START = datetime(2026, 1, 1, tzinfo=UTC)
TRAINERS = """
[trainer.quick]
use = "lightgbm"
num_iterations = 10
min_data_in_leaf = 5
num_threads = 1
[trainer.blind]
use = "lightgbm"
num_iterations = 1
learning_rate = 1e-9
num_threads = 1
[trainer.deep]
use = "lightgbm"
num_iterations = 20
num_leaves = 63
min_data_in_leaf = 1
num_threads = 1
holdout = 0.0
"""
PLAIN = {"trainer": "quick", "task": "binary", "target": "y", "learning_curve": False, "folds": {"folds": 3}}


@pytest.fixture
def validate(make_project):
    """Return the validation of rows: its report, and the predictions."""

    project, runs = make_project(TRAINERS), itertools.count()

    def run(rows, **options):
        bench = Bench(project, next(iter(mlopsfw_steps())), {**PLAIN, **options})
        bench._attempts = 100 * next(runs)
        made = bench.run({"rows": rows})
        run.review = bench.load(made["review"])
        return bench.load(made["report"]), bench.load(made["predictions"])

    return run


def table(rows=400, seed=0, strength=1.5):
    """Rows with an event time, a group, and a label that hangs on `x` in half of its noise."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=rows)
    return pl.DataFrame(
        {
            "at": [START + timedelta(hours=n) for n in range(rows)],
            "who": [f"g{n}" for n in draw.integers(0, 25, rows)],
            "x": x,
            "noise": draw.normal(size=rows),
            "y": (strength * x + draw.normal(size=rows) > 0).astype(int),
        }
    )


def about(report):
    return {doubt["about"]: doubt["says"] for doubt in report["warnings"]}


def test_each_row_is_answered_by_a_model_that_did_not_learn_from_it(validate):
    rows = table().drop("at")
    report, predictions = validate(rows, exclude=["who"])
    assert report["rows"] == predictions.height == 400
    assert predictions.drop("fold", "probability").equals(rows)
    assert set(predictions["fold"]) == {1, 2, 3}
    assert report["auc"] == pytest.approx(np.mean([fold["auc"] for fold in report["folds"]]))
    low, high = (report["intervals"]["auc"][end] for end in ("low", "high"))
    assert 0.7 < low < report["auc"] < high < 1
    assert report["baseline"]["majority"]["auc"] == 0.5
    assert report["learned"]["auc"] > report["auc"]


def test_a_misspelt_column_to_exclude_is_refused_and_an_absent_one_is_not(validate):
    rows = table(60).drop("at").rename({"who": "person"})
    with pytest.raises(DataError, match="no column 'persom'") as caught:
        validate(rows, exclude=["persom"])
    assert "Did you mean 'person'?" in caught.value.hint
    assert validate(rows, exclude=["person", "gone_already"])


def test_the_default_is_by_time_and_intervals_count_blocks_of_time(validate):
    report, predictions = validate(table(), time="at", exclude=["who"])
    assert (report["by"], report["clusters"]) == ("time", {"of": "block of at", "count": 20})
    assert predictions.height == report["rows"] < 400
    assert [fold["train"] for fold in report["folds"]] == [100, 200, 300]
    assert report["folds"][0]["start"] == "2026-01-05 04:00:00+00:00"


def test_intervals_count_groups_where_rows_of_a_group_are_alike(validate):
    draw = np.random.default_rng(2)
    traits = {name: draw.normal(size=60) for name in ("luck", "x", "height")}
    people = pl.DataFrame({"who": [f"g{n}" for n in range(60)], **traits})
    rows = pl.concat([people] * 10).with_columns(y=(pl.col("luck") + 0.5 * pl.col("x") > 0).cast(int)).drop("luck")
    grouped, _ = validate(rows, exclude=["who"], folds={"group": "who", "folds": 3})
    single, _ = validate(rows, exclude=["who"], folds={"by": "random", "folds": 3})
    assert grouped["clusters"] == {"of": "group who", "count": 60}
    widths = [np.ptp([*report["intervals"]["log_loss"].values()]) for report in (grouped, single)]
    assert widths[0] > 1.5 * widths[1]
    assert single["auc"] > 0.95 > grouped["auc"]  # who is known by x
    assert "copy" in about(single)["duplicates"]
    assert "duplicates" not in about(grouped)


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_every_task_is_validated(validate, kind):
    thirds = pl.when(pl.col("x") < -0.5).then(pl.lit("low")).when(pl.col("x") < 0.5).then(pl.lit("middle"))
    y = pl.col("x") * 2 if kind == "regression" else thirds.otherwise(pl.lit("high"))
    report, predictions = validate(table().with_columns(y=y), task=kind, exclude=["who", "at"])
    better = {"multiclass": "accuracy", "regression": "r2"}[kind]
    assert report["intervals"][better]["low"] > 0.5
    assert {"multiclass": "probabilities", "regression": "value"}[kind] in predictions.columns


def test_two_trainers_are_compared_on_the_same_rows(validate):
    report, _ = validate(table(), exclude=["who", "at"], against=["blind", "quick"], metric="log_loss")
    blind, same = report["against"]["blind"], report["against"]["quick"]
    assert blind["better"]
    assert blind["gain"] == pytest.approx(blind["rival"] - blind["value"])
    assert (same["gain"], same["low"], same["high"], same["better"]) == (0, 0, 0, False)


def test_segments_have_metrics_and_intervals_of_their_own(validate):
    rows = table().with_columns(part=pl.when(pl.col("noise") > 1.5).then(pl.lit("few")).otherwise(pl.lit("many")))
    report, _ = validate(rows, exclude=["who", "at"], segments=["part"], min_rows=10)
    many, few = report["segments"]["part"]["many"], report["segments"]["part"]["few"]
    assert many["rows"] + few["rows"] == 400
    widths = [each["intervals"]["auc"]["high"] - each["intervals"]["auc"]["low"] for each in (few, many)]
    assert widths[0] > widths[1]


def test_shuffled_folds_of_a_time_series_say_how_optimistic_they_are(validate):
    draw = np.random.default_rng(4)
    price = np.cumsum(draw.normal(size=1020))
    walks = {name: np.cumsum(draw.normal(size=1000)) for name in ("x", "noise")}
    rows = table(1000).with_columns(**walks, y=pl.Series((price[20:] > price[:-20]).astype(int)))
    with pytest.raises(ConfigError, match="rows after those judged"):
        validate(rows, time="at", folds={"by": "random", "folds": 3})
    folds = {"by": "random", "shuffle_time": True, "label_delay": "20h", "folds": 3}
    report, _ = validate(rows, trainer="deep", time="at", exclude=["who"], folds=folds)
    assert report["optimism"]["low"] > 0
    assert "They are optimistic by" in about(report)["time"]


def test_doubts_are_told(validate):
    rows = table(300).with_columns(
        y=(pl.int_range(pl.len()) % 25 == 0).cast(int),
        empty=pl.lit(None, pl.Float64),
        place=pl.when(pl.int_range(pl.len()) % 10 == 0)
        .then(pl.concat_str(pl.lit("p"), pl.int_range(pl.len())))
        .otherwise(pl.lit("home")),
    )
    rows = rows.with_columns(secret=pl.col("y") * 2.0)
    report, _ = validate(rows, exclude=["who", "at"])
    told = about(report)
    assert "'at' holds times" in told["time"]
    assert "'empty' is null in every row" in told["columns"]
    assert "class 1 has 12 of 300 rows (4.0%)" in told["imbalance"]
    assert "secret: it alone predicts 'y'" in told["leakage"]
    assert "10.0% of the validation rows have a value of 'place'" in told["categories"]


def test_a_model_that_remembers_its_rows_is_doubted_and_a_curve_that_rises_is_told(validate):
    report, _ = validate(table(strength=0.4), trainer="deep", exclude=["who", "at"])
    assert "the model remembers rows" in about(report)["overfitting"]
    x = np.random.default_rng(0).normal(size=400)
    rows = pl.DataFrame({"x": x, "y": (np.sin(30 * x) > 0).astype(int)})
    report, _ = validate(rows, trainer="deep", learning_curve=True)
    assert "the learning curve still rises" in about(report)["learning_curve"]
    assert report["learning_curve"]["gain"] > 0


def test_a_slice_where_the_model_is_worse_is_confirmed_and_no_value_of_a_personal_column_is_told(validate):
    draw = np.random.default_rng(3)
    rows = table(1200).with_columns(place=pl.Series(draw.choice(["north", "south"], 1200)))
    rows = rows.with_columns(
        y=pl.when(pl.col("place") == "north").then(pl.Series(draw.integers(0, 2, 1200))).otherwise("y")
    )
    options = {"exclude": ["who", "at", "noise"], "folds": {"folds": 2}}
    report, _ = validate(rows, **options)
    assert report["slices"][0]["where"] == "place = 'north'"
    assert report["slices"][0]["confirmed"]
    report, _ = validate(rows, **options, options={"place": {"pii": True}})
    assert "place" not in str(report["slices"])


def test_labels_that_were_flipped_are_listed_for_review(validate):
    rows = table(strength=20)
    wrong = [3, 77, 200]
    flipped = pl.int_range(pl.len()).is_in(wrong)
    rows = rows.with_columns(y=pl.when(flipped).then(1 - pl.col("y")).otherwise("y"))
    validate(rows, exclude=["who", "at", "noise"])
    assert set(wrong) <= set(validate.review["row"])
    assert (
        validate.review.filter(pl.col("row").is_in(wrong)).select(pl.col("label") != pl.col("suggested"))["label"].all()
    )


def test_near_duplicates_are_counted_where_numbers_are_rounded(validate):
    rows = pl.concat([table(200), table(200).with_columns(pl.col("x", "noise") * 1.00001)])
    report, _ = validate(rows, exclude=["who", "at"])
    assert "0.0% of the validation rows have a copy" in about(report)["duplicates"]
    assert "where numbers count to 3 digits" in about(report)["duplicates"]


def test_a_class_that_a_fold_lacks_has_probability_0_and_is_told(validate):
    y = ["a", "b"] * 195 + ["c"] * 10
    rows = table(400).with_columns(y=pl.Series(y))
    report, predictions = validate(rows, task="multiclass", time="at", exclude=["who"])
    assert "class 'c' is missing in the training rows of fold 1" in about(report)["classes"]
    assert "close together in time: write fewer folds" in about(report)["classes"]
    first = predictions.filter(fold=1)["probabilities"].list.get(2)
    assert first.to_list() == [0] * first.len()


def test_a_fold_with_one_class_to_learn_from_is_an_error_in_words(validate):
    rows = table(400).with_columns(y=(pl.int_range(pl.len()) >= 300).cast(int))
    with pytest.raises(DataError, match="fold1 of quick: each of its 100 training rows has the label 0"):
        validate(rows, time="at", exclude=["who"])


def test_few_groups_give_no_interval_and_say_so(validate):
    rows = table().with_columns(who=pl.int_range(pl.len()) % 6)
    report, _ = validate(rows, exclude=["who", "at"], folds={"group": "who", "folds": 3})
    assert report["intervals"] == {}
    assert "6 clusters (group who), too few" in about(report)["clusters"]


@pytest.mark.parametrize(
    ("rows", "options", "error", "words"),
    [
        (table().with_columns(y=pl.lit(1)), {}, DataError, "every row has the label 1"),
        (table().with_columns(y=pl.lit(2.5)), {"task": "regression"}, DataError, "every row has the label 2.5"),
        (table().with_columns(y=pl.lit(None, pl.Int64)), {}, DataError, "none of the 400 given rows has a label"),
        (table().drop("y"), {}, DataError, "lack the target column 'y'"),
        (table(), {"task": "ranking"}, UsageError, "cannot be validated"),
        (table(), {"segments": ["whom"]}, DataError, "no column 'whom'"),
        (table().with_columns(fold=pl.lit(1)), {}, DataError, "column 'fold'"),
    ],
)
def test_what_cannot_be_validated_is_an_error_in_words(validate, rows, options, error, words):
    with pytest.raises(error, match=words):
        validate(rows, **{"exclude": ["who", "at"], **options})


def test_rows_without_a_label_are_left_out(validate):
    rows = table().with_columns(y=pl.when(pl.int_range(pl.len()) % 4 > 0).then("y"))
    report, predictions = validate(rows, exclude=["who", "at"])
    assert report["rows"] == 300
    assert predictions["y"].null_count() == 0


@pytest.mark.parametrize(
    ("rare", "folds", "advice"),
    [
        ([0, 1], {"folds": 3}, "It has 2 rows in all: join it with another class"),
        (range(0, 50, 5), {"folds": 3, "by": "group", "group": "block"}, "It is in few values of 'block'"),
    ],
)
def test_the_warning_about_a_class_that_a_fold_lacks_says_what_to_do(validate, rare, folds, advice):
    at = pl.int_range(pl.len())
    y = pl.when(at.is_in(list(rare))).then(pl.lit("rare")).when(at % 2 == 0).then(pl.lit("a")).otherwise(pl.lit("b"))
    rows = table(300).with_columns(y=y, block=at // 50)
    report, _ = validate(rows, task="multiclass", exclude=["who", "at", "block"], folds=folds)
    assert advice in about(report)["classes"]


def test_quantiles_of_rows_that_no_model_learned_from_stand_beside_the_value(validate):
    rows = table().with_columns(y=pl.col("x") + pl.col("noise"))
    report, predictions = validate(rows, task="regression", quantiles=[0.2, 0.8])
    low, high = (predictions[f"quantile_{level}"] for level in (0.2, 0.8))
    assert ((low <= predictions["y"]) & (predictions["y"] <= high)).mean() == pytest.approx(0.6, abs=0.25)
    assert report["rmse"] == validate(rows, task="regression")[0]["rmse"]
    with pytest.raises(DataError, match=r"quantile_0\.2"):
        validate(rows.rename({"who": "quantile_0.2"}), task="regression", quantiles=[0.2, 0.8])


def test_weights_count_in_every_number_of_the_report(validate):
    rows = table(400).with_columns(w=pl.Series([0.0, 1.0, 3.0, 1.0] * 100), half=pl.col("x") > 0)
    options = {"exclude": ["who", "at", "w"], "segments": ["half"], "min_rows": 10}
    report, predictions = validate(rows, weight="w", **options)
    plain, _ = validate(rows, **options)
    for name in ("learned", "segments", "intervals", "slices"):
        assert report[name] != plain[name]
    first = predictions.filter(fold=1)
    right = (first["probability"] >= 0.5).cast(int) == first["y"]
    assert report["folds"][0]["accuracy"] == pytest.approx(np.average(right, weights=first["w"]))
