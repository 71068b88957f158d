"""Labels and weights: what a trainer may learn from, and how what it may not is named."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features.labels import check_weights, classes_of, held_positions, numbers, row_weights, rows_with_label
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.training import TrainingTask

TASK = TrainingTask(task="regression", target="y", weight="w")


def test_rows_without_a_label_are_left_out_and_nan_is_none():
    rows = pl.DataFrame({"x": [1, 2, 3, 4], "y": [0.5, None, float("nan"), 2.0]})
    assert rows_with_label(TableHandle.of(rows), TASK, ["x"], "training")["x"].to_list() == [1, 4]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pl.DataFrame({"x": [1]}), "the validation rows lack the target column 'y'"),
        (pl.DataFrame({"x": [1], "y": [float("nan")]}), "none of the 1 validation rows has a label in 'y'"),
    ],
)
def test_rows_without_any_label_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        rows_with_label(TableHandle.of(rows), TASK, ["x"], "validation")


@pytest.mark.parametrize(
    ("labels", "task", "classes"),
    [
        (pl.Series("y", ["b", "a", "b"]), "binary", ("a", "b")),
        (pl.Series("y", [3, 1, 2]), "multiclass", (1, 2, 3)),
        (pl.Series("y", [True, False]), "binary", (False, True)),
        (pl.Series("y", ["b", "a"], dtype=pl.Categorical), "binary", ("a", "b")),
    ],
)
def test_classes_are_in_order_and_keep_their_type(labels, task, classes):
    assert classes_of(labels, task) == classes


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        ([0.5, 1.5], "binary", "the target 'y' holds Float64"),
        (["a", "a"], "multiclass", "every training row has the label 'a' in 'y'"),
        (["a", "b", "c"], "binary", "the target 'y' has 3 classes"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, task, message):
    with pytest.raises(DataError, match=message):
        classes_of(pl.Series("y", labels), task)


@pytest.mark.parametrize("labels", [["a"], [float("inf")]])
def test_labels_that_are_no_numbers_are_refused(labels):
    with pytest.raises(DataError, match="the target 'y'"):
        numbers(pl.Series("y", labels))


def test_a_null_weighs_nothing():
    assert np.array_equal(row_weights(pl.DataFrame({"w": [1, None, 3]}), TASK), [1, 0, 3])


@pytest.mark.parametrize("weights", [[-1.0, 1.0], [float("nan"), 1.0], [1e300, 1.0], [0.0, 0.0], [None, None]])
def test_what_is_no_weight_is_refused(weights):
    with pytest.raises(DataError, match="the weights in 'w'"):
        row_weights(pl.DataFrame({"w": weights}), TASK)


@pytest.mark.parametrize("values", [["a"], [-1.0, 2.0], [float("nan")], [float("inf")], [0.0, 0.0], [None]])
def test_what_cannot_weigh_is_refused_with_its_column(values):
    with pytest.raises(DataError, match="the weights in 'w' must be"):
        check_weights(pl.Series("w", values, strict=False))


def test_the_latest_rows_are_held_out_and_those_without_a_time_are_not():
    learned, held = held_positions(5, 2, pl.Series([None, 3, 1, 2, None]), seed=0)
    assert (learned.tolist(), held.tolist()) == ([0, 2, 4], [1, 3])
