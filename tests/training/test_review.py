"""Labels that were flipped come first in the table of doubtful rows, which `labels add` takes back."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from mlopsfw.capturelog.labels import check_labels
from mlopsfw.capturelog.times import Bounds
from mlopsfw.errors import DataError
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw.roles import Manifest
from mlopsfw.training.crossfit import Judged
from mlopsfw.training.review import review


def judged_of(labels, main):
    rows = len(labels)
    return Judged(np.arange(rows), np.zeros(rows, dtype=int), labels, {"main": main}, None)


@pytest.fixture(scope="module")
def flipped():
    """Rows of three well separated classes, 30 of 600 with a wrong label, and out-of-fold probabilities."""
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 3, 600)
    x = draw.normal(size=(600, 2)) + 3 * np.stack([np.cos(2 * truth), np.sin(2 * truth)], axis=1)
    wrong = draw.choice(600, 30, replace=False)
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + 1) % 3
    p = cross_val_predict(LogisticRegression(), x, labels, method="predict_proba")
    names = np.array(["a", "b", "c"])
    rows = pl.DataFrame(
        {"prediction_id": [f"p{n}" for n in range(600)], "y": names[labels], "x0": x[:, 0], "x1": x[:, 1]}
    )
    return rows, judged_of(labels, p), wrong, names[truth]


def test_flipped_labels_come_first_with_the_class_that_they_had(flipped):
    rows, judged, wrong, truth = flipped
    found = review(rows, judged, ("a", "b", "c"), "y", ["x0", "x1"])
    assert set(found["row"][:20]) <= set(wrong)
    assert len(set(wrong) & set(found["row"])) >= 20
    assert found.height <= 40
    first = found.head(20)
    assert first["suggested"].to_list() == truth[first["row"].to_numpy()].tolist()
    assert first["label"].to_list() == rows["y"][first["row"]].to_list()
    assert found["score"].is_sorted()
    assert found.columns == ["row", "label", "suggested", "score", "reason", "prediction_id", "x0", "x1"]


def test_labels_takes_the_table_back(flipped):
    rows, judged, *_ = flipped
    found = review(rows, judged, ("a", "b", "c"), "y", ["x0", "x1"])
    corrected = found.with_columns(label=pl.coalesce("suggested", "label"))
    outputs = outputs_for("multiclass", ("a", "b", "c"))
    manifest = Manifest(
        task="multiclass", target="y", inputs=(), outputs=outputs, classes=("a", "b", "c"), formats={}, files={}
    )
    kept = check_labels(corrected.iter_rows(named=True), manifest, lambda _, value: value, Bounds(), 0)
    assert list(kept.labels) == found["suggested"].to_list()
    assert list(kept.ids) == [f"p{row}" for row in found["row"]]


def test_correct_labels_of_unclear_rows_are_not_doubted_by_their_classes_mean():
    """A class that gets a low probability everywhere is not doubted for it: the threshold is that of the class."""
    labels = np.array([0, 1] * 50)
    p = np.where(labels == 1, 0.3, 0.1)
    found = review(pl.DataFrame({"y": labels == 1, "x": p}), judged_of(labels, p), (False, True), "y", ["x"])
    assert found.height == 0


def test_near_duplicates_with_another_label_are_listed_with_the_label_of_most():
    rows = pl.DataFrame(
        {"x": [1.0, 1.0001, 1.0, 5.0], "name": ["Ada", "ada ", "ADA", "bob"], "z": [1, 1, 1, 2], "y": [1, 1, 0, 0]}
    )
    found = review(rows, judged_of(np.array([1, 1, 0, 0]), np.full(4, 0.5)), (0, 1), "y", ["x", "name", "z"])
    twins = found.filter(reason="near-duplicates")
    assert twins["row"].to_list() == [2, 0, 1]
    assert twins["suggested"].to_list() == [1, None, None]


def test_a_number_far_from_its_answer_is_doubted():
    draw = np.random.default_rng(0)
    y = draw.normal(size=200)
    rows = pl.DataFrame({"y": y + np.where(np.arange(200) == 7, 50, 0)})
    found = review(rows, judged_of(rows["y"].to_numpy(), y + draw.normal(0, 0.1, 200)), (), "y", [])
    assert found["row"].to_list() == [7]
    assert found["suggested"][0] == pytest.approx(y[7], abs=0.5)


def test_the_time_of_the_old_label_goes_and_a_column_in_the_way_is_an_error(flipped):
    rows, judged, *_ = flipped
    timed = rows.with_columns(label_time=pl.lit("2026-01-01T00:00:00Z"))
    assert "label_time" not in review(timed, judged, ("a", "b", "c"), "y", ["x0"]).columns
    with pytest.raises(DataError, match="column 'score'"):
        review(rows.with_columns(score=pl.lit(1)), judged, ("a", "b", "c"), "y", ["x0"])


def test_the_less_the_models_believe_a_label_the_lower_is_its_score():
    labels = np.array([0] * 10 + [1] * 10)
    p = np.array([0.1] * 8 + [0.7, 0.9] + [0.6] * 10)
    found = review(pl.DataFrame({"y": labels, "x": p}), judged_of(labels, p), (0, 1), "y", ["x"])
    assert found["row"].to_list() == [9, 8]
    assert found["score"].to_list() == pytest.approx([0.1, 0.3])
