"""A single file of trees that were trained elsewhere is a model: its columns are numbers, by the names that the trees have."""

from __future__ import annotations

import lightgbm
import numpy as np
import polars as pl
import pytest
import xgboost

import mlopsfw
from mlopsfw.kernel.base.errors import BundleError

DRAW = np.random.default_rng(1)
X = DRAW.normal(size=(200, 2))
ROWS = pl.DataFrame({"b one": X[:, 1], "a": X[:, 0], "y": 3 * X[:, 0] - X[:, 1]})
"""The trees read `a` first."""


def by_lightgbm(file, names):
    data = lightgbm.Dataset(X, ROWS["y"].to_numpy(), feature_name=names or "auto")
    booster = lightgbm.train({"objective": "regression", "num_leaves": 7, "verbose": -1}, data, 10)
    booster.save_model(file)
    return booster.predict(X)


def by_xgboost(file, names):
    data = xgboost.DMatrix(X, ROWS["y"].to_numpy(), feature_names=names)
    booster = xgboost.train({"objective": "reg:squarederror", "max_depth": 3}, data, 10)
    file.write_bytes(bytes(booster.save_raw("json")))
    return booster.predict(data)


TREES = {"lightgbm": by_lightgbm, "xgboost": by_xgboost}


@pytest.mark.parametrize("names", [["a", "b one"], None], ids=["named", "unnamed"])
@pytest.mark.parametrize("library", TREES)
def test_trees_answer_as_they_did_whatever_the_order_of_the_rows_columns(project, tmp_path, library, names):
    expected = TREES[library](tmp_path / "model.txt", names)
    rows = ROWS.with_columns(c=1.0) if names else ROWS.select("a", "b one", "y")  # without names the order is theirs
    with mlopsfw.start_run(project=project) as run:
        run.log_model("trees", tmp_path / "model.txt", rows=rows, task="regression", target="y", format=library)
    with mlopsfw.load_model("models:/trees@1", project=project) as model:
        assert [column.name for column in model.manifest.inputs] == ["a", "b one"]
        assert np.allclose(model.predict(rows.drop("y"))["value"].to_numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (ROWS.with_columns(a=pl.lit("x")), "the input 'a' is a string, and the trees' file does not say"),
        (ROWS.rename({"a": "A"}), r"the trees read 2 columns \(a, b_?.?one\), but the inputs are b one, A"),
    ],
)
@pytest.mark.parametrize("library", TREES)
def test_rows_that_the_trees_do_not_read_are_refused_with_what_to_pass(project, tmp_path, library, rows, why):
    TREES[library](tmp_path / "model.txt", ["a", "b one"])
    with mlopsfw.start_run(project=project) as run, pytest.raises(BundleError, match=why) as refused:
        run.log_model("trees", tmp_path / "model.txt", rows=rows, task="regression", target="y", format=library)
    assert refused.value.hint.startswith("Pass rows")
    assert project.registry.names() == []
