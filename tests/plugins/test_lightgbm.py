"""The trainer and the runtime `lightgbm`: their kits, encoding of columns, early stopping, personal columns, a challenger."""

from __future__ import annotations

import hashlib
import json
import re

import lightgbm
import msgspec
import numpy as np
import polars as pl
import pytest

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.kernel.base.errors import BundleError, MissingExtra, UsageError
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.models import bundle
from mlopsfw.testing.runtime import RuntimeConformance
from mlopsfw.testing.trainer import Context, TrainerConformance, digests, training_rows, training_task
from mlopsfw_lightgbm import LightGbmConfig, LightGbmRuntimeConfig, build_runtime, build_trainer
from mlopsfw_lightgbm.runtime import LightGbmRuntime
from mlopsfw_lightgbm.text import checked_text
from mlopsfw_lightgbm.trainer import LightGbmTrainer

QUICK = LightGbmConfig(num_iterations=40, learning_rate=0.2, num_leaves=15, feature_fraction=0.8, bagging_fraction=0.8)


def fit(tmp_path, task=None, rows=None, valid=None, **config):
    context = Context.under(tmp_path, f"fit-{len(list(tmp_path.iterdir()))}")
    rows = training_rows(400) if rows is None else rows
    trainer = LightGbmTrainer(msgspec.structs.replace(QUICK, **config))
    handle = None if valid is None else TableHandle.of(valid)
    return trainer.fit(task or training_task("binary"), TableHandle.of(rows), handle, context)


def opened(tmp_path, task, rows, **config):
    folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
    runtimes = {"lightgbm": LightGbmRuntime()}
    bundle.write(folder, fit(tmp_path, task, rows, **config), task, TableHandle.of(rows), runtimes)
    return bundle.open_bundle(folder, runtimes.__getitem__)


class TestTrainer(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return LightGbmTrainer(QUICK)

    @pytest.fixture
    def config(self):
        return QUICK

    def built(self, config):
        return LightGbmTrainer(config)

    @pytest.fixture
    def runtimes(self):
        return {"lightgbm": LightGbmRuntime()}


class TestRuntime(RuntimeConformance):
    @pytest.fixture(params=["binary", "multiclass", "regression", "quantiles"])
    def task(self, request):
        quantiles = request.param == "quantiles"
        return training_task("regression", quantiles=(0.1, 0.9)) if quantiles else training_task(request.param)

    @pytest.fixture
    def runtime(self):
        return LightGbmRuntime()

    @pytest.fixture
    def folder(self, tmp_path, task):
        return opened(tmp_path, task, training_rows(300)).folder


def test_a_category_that_training_did_not_see_counts_as_missing(tmp_path):
    rows = training_rows(600)
    loaded = opened(tmp_path, training_task("binary", features=("color", "count")), rows)
    unseen, missing = (rows[:50].with_columns(color=pl.lit(value, pl.String)) for value in ("no color", None))
    assert np.array_equal(loaded.predict_table(unseen)["probability"], loaded.predict_table(missing)["probability"])


def test_validation_rows_stop_it_early_and_the_best_round_is_kept(tmp_path):
    rows, valid = training_rows(400), training_rows(400, seed=1)
    whole = fit(tmp_path, rows=rows, num_iterations=300, holdout=0)
    stopped = fit(tmp_path, rows=rows, valid=valid, num_iterations=300, early_stopping_round=5)
    assert whole.facts["rounds"] == 300
    assert stopped.facts["rounds"] < 300
    assert stopped.files["model.txt"].read_text().count("\nTree=") == stopped.facts["rounds"]
    assert (
        stopped.metrics["valid_log_loss"]
        < fit(tmp_path, rows=rows, valid=valid, early_stopping_round=0, num_iterations=300).metrics["valid_log_loss"]
    )


def test_rows_held_out_find_the_number_of_rounds_and_the_trees_learn_from_all_rows(tmp_path):
    trained = fit(tmp_path, num_iterations=300, early_stopping_round=5, bagging_fraction=1.0)
    assert trained.facts["validation_rows"] == 60
    assert trained.facts["rounds"] < 300
    assert 0 < trained.metrics["holdout_log_loss"] < 0.7
    first = trained.files["model.txt"].read_text().partition("internal_count=")[2]
    assert first.split()[0] == "400"


def test_no_value_of_a_personal_column_is_in_the_bundle(tmp_path):
    rows = training_rows(400).with_columns(color=pl.col("color") + "-secret")
    task = training_task("binary", options={"color": {"pii": True}}, features=("color", "count"))
    trained = fit(tmp_path, task, rows)
    assert all(b"secret" not in file.read_bytes() for file in trained.files.values())
    assert json.loads(trained.files["encoding.json"].read_bytes())[0]["kind"] == "hash"


@pytest.mark.parametrize(
    ("column", "options", "message"),
    [
        ("number", {"pii": True}, "'number' is personal"),
        ("moment", {"pii": True}, "'moment' is personal"),
        ("number", {"bins": 8}, "'number' has `bins`"),
        ("number", {"kind": "category"}, "'number' is of type number and cannot be a category"),
        ("color", {"kind": "number"}, "'color' is of type string and cannot be a number"),
    ],
)
def test_an_option_that_it_cannot_heed_is_refused(column, options, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        fit(tmp_path, training_task("binary", options={column: options}))


@pytest.mark.parametrize("options", [{"kind": "category"}, {"buckets": 16}])
def test_an_integer_may_be_a_category(options, tmp_path):
    task = training_task("regression", features=("count",), options={"count": options})
    loaded = opened(tmp_path, task, training_rows(600))
    assert len(np.unique(loaded.predict_table(training_rows(600, seed=1))["value"])) > 3


def test_rare_categories_have_no_place_and_at_most_a_thousand_have(tmp_path):
    names = [f"n{at:04d}" for at in range(1100)] * 3 + ["rare"]
    rows = pl.DataFrame({"name": names, "y": np.arange(len(names)) % 7 * 1.0})
    trained = fit(tmp_path, TrainingTask(task="regression", target="y"), rows)
    (encoding,) = json.loads(trained.files["encoding.json"].read_bytes())
    assert encoding["categories"] == names[:1000]


def test_equal_files_for_any_number_of_threads(tmp_path):
    def trees(threads):
        text = fit(tmp_path, num_threads=threads).files["model.txt"].read_text()
        return text.partition("\nparameters:")[0]

    assert trees(1) == trees(2)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("mlopsfw_lightgbm.find_spec", lambda _name: None)
    for build, config in ((build_trainer, LightGbmConfig()), (build_runtime, LightGbmRuntimeConfig())):
        with pytest.raises(MissingExtra, match=r"mlopsfw\[lightgbm\]"):
            build(config, None)


@pytest.mark.parametrize(
    ("name", "content"), [("encoding.json", b"[]"), ("encoding.json", b"{}"), ("model.txt", b"tree\nversion=v4\n")]
)
def test_files_that_disagree_are_refused(name, content, tmp_path):
    loaded = opened(tmp_path, training_task("binary"), training_rows(300))
    (loaded.folder / name).write_bytes(content)
    files = {**loaded.manifest.files, name: hashlib.sha256(content).hexdigest()}
    with pytest.raises(BundleError):
        LightGbmRuntime().load(loaded.folder, msgspec.structs.replace(loaded.manifest, files=files))


def test_the_same_rows_give_the_same_files_twice(tmp_path):
    assert digests(fit(tmp_path)) == digests(fit(tmp_path))


# LightGBM looks at no bounds: a forged text would hang or crash the process, or answer from memory beyond an array.


@pytest.fixture(scope="module")
def numbers():
    rows = np.random.default_rng(0).random((400, 3))
    rows[:, 2] = np.arange(400) % 40
    rows[::9, :2] = np.nan
    return rows


def trained(numbers, rounds=3, **params):
    settings = {"verbosity": -1, "num_threads": 1, "num_leaves": 5, "min_data_per_group": 5, "cat_smooth": 1} | params
    labels = numbers[:, 2] % 3
    if params.get("objective") == "binary":
        labels = labels > 0
    return lightgbm.train(settings, lightgbm.Dataset(numbers, labels, categorical_feature=[2]), rounds)


REAL = {
    "categories": {},
    "one leaf": {"min_data_in_leaf": 10_000},
    "binary": {"objective": "binary"},
    "multiclass": {"objective": "multiclass", "num_class": 3},
    "one against all": {"objective": "multiclassova", "num_class": 3},
    "poisson": {"objective": "poisson"},
    "root": {"reg_sqrt": True},
    "zero as missing": {"zero_as_missing": True},
    "forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    "monotone": {"monotone_constraints": [1, -1, 0]},
}


@pytest.mark.parametrize("params", REAL.values(), ids=REAL.keys())
def test_a_text_of_lightgbm_predicts_the_same_after_the_check(params, numbers):
    booster = trained(numbers, **params)
    again = lightgbm.Booster(model_str=checked_text(booster.model_to_string()))
    assert again.num_trees() == booster.num_trees() >= 1
    assert np.array_equal(again.predict(numbers), booster.predict(numbers))


FORGED = {
    "a cycle": (r"(left|right)_child=.*", r"\1_child=0 0 0 0"),
    "a child beyond the nodes": (r"left_child=\S+", "left_child=99999999"),
    "a child beyond the leaves": (r"left_child=\S+", "left_child=-99999999"),
    "a child near the leaves": (r"right_child=\S+", "right_child=-40"),
    "a leaf twice": (r"(left|right)_child=.*", r"\1_child=1 2 3 -1"),
    "a feature beyond the rows": (r"split_feature=\S+", "split_feature=99999999"),
    "a feature before the rows": (r"split_feature=\S+", "split_feature=-1"),
    "more leaves than values": (r"num_leaves=.*", "num_leaves=5000"),
    "no leaves": (r"num_leaves=.*", "num_leaves=0"),
    "fewer values": (r"leaf_value=\S+ ", "leaf_value="),
    "fewer thresholds": (r"threshold=\S+ ", "threshold="),
    "fewer counts": (r"leaf_count=\S+ ", "leaf_count="),
    "a value that is no number": (r"leaf_value=\S+", "leaf_value=nan"),
    "a value without end": (r"leaf_value=\S+", "leaf_value=1e999"),
    "a threshold without end": (r"\nthreshold=\S+", "\nthreshold=inf"),
    "an unknown decision": (r"decision_type=\S+", "decision_type=14"),
    "a set that is not there": (r"\nthreshold=.*", "\nthreshold=77 77 77 77"),
    "boundaries beyond the sets": (r"cat_boundaries=.*", "cat_boundaries=0 1 2 3 99999999"),
    "boundaries that descend": (r"cat_boundaries=0 \d+", "cat_boundaries=0 -5"),
    "many sets": (r"num_cat=.*", "num_cat=99999"),
    "no sets": (r"num_cat=.*", "num_cat=0"),
    "a linear tree": (r"is_linear=0", "is_linear=1"),
    "an unknown line": (r"is_linear=0", "is_linear=0\nleaf_features=9"),
    "a line twice": (r"is_linear=0", "is_linear=0\nnum_leaves=5"),
    "a carriage return": (r"is_linear=0", "is_linear=0\r"),
    "more outputs than places": (r"num_tree_per_iteration=1", "num_tree_per_iteration=3"),
    "an objective of more classes": (r"objective=.*", "objective=multiclass num_class:900"),
    "an objective that ranks": (r"objective=.*", "objective=lambdarank"),
    "fewer features": (r"max_feature_idx=2", "max_feature_idx=0"),
    "no trees' end": (r"end of trees", ""),
    "another version": (r"version=v4", "version=v3"),
}


@pytest.fixture(scope="module")
def real_text(numbers):
    return trained(numbers).model_to_string()


@pytest.mark.parametrize(("pattern", "replacement"), FORGED.values(), ids=FORGED.keys())
def test_a_forged_text_is_refused_with_its_place(pattern, replacement, real_text):
    assert "cat_boundaries" in real_text
    forged, count = re.subn(pattern, replacement, real_text)
    assert count
    assert forged != real_text
    with pytest.raises(ValueError, match=r"tree|header|version|objective|feature|num_"):
        checked_text(forged)


def test_lightgbm_never_reads_a_forged_text(monkeypatch, tmp_path):
    loaded = opened(tmp_path, training_task("binary"), training_rows(100), num_iterations=1)
    file = loaded.folder / "model.txt"
    forged = re.sub(r"left_child=\S+", "left_child=99999999", file.read_text())
    file.write_text(forged)
    files = {**loaded.manifest.files, "model.txt": hashlib.sha256(forged.encode()).hexdigest()}
    monkeypatch.setattr(lightgbm, "Booster", lambda **_: pytest.fail("LightGBM read it"))
    with pytest.raises(BundleError, match=r"model\.txt is not a model .* tree 0 has the child 99999999"):
        LightGbmRuntime().load(loaded.folder, msgspec.structs.replace(loaded.manifest, files=files))


def test_sizes_of_trees_lead_lightgbm_to_no_other_text(numbers):
    assert "tree_sizes" not in checked_text(
        re.sub(r"tree_sizes=.*", "tree_sizes=9 9 99999999", trained(numbers).model_to_string())
    )


def test_a_tree_that_splits_at_infinity_is_a_model_of_lightgbm(tmp_path):
    loaded = opened(
        tmp_path, training_task("multiclass"), training_rows(300), holdout=0
    )  # its numbers have an infinity among them
    text = (loaded.folder / "model.txt").read_text()
    assert any("inf" in line.split(" ") for line in text.splitlines() if line.startswith("threshold="))
