"""The trainer and the runtime `xgboost`: their kits, early stopping, what float32 cannot hold, and forged documents."""

from __future__ import annotations

import hashlib
import json

import msgspec
import numpy as np
import polars as pl
import pytest
import xgboost

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.kernel.base.errors import BundleError, MissingExtra
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.models import bundle
from mlopsfw.testing.runtime import RuntimeConformance
from mlopsfw.testing.trainer import Context, TrainerConformance, digests, training_rows, training_task
from mlopsfw_xgboost import XgBoostConfig, XgBoostRuntimeConfig, build_runtime, build_trainer
from mlopsfw_xgboost.document import OBJECTIVES, checked_document
from mlopsfw_xgboost.runtime import XgBoostRuntime
from mlopsfw_xgboost.trainer import XgBoostTrainer

QUICK = XgBoostConfig(num_boost_round=30, learning_rate=0.3, max_depth=4, subsample=0.8, colsample_bytree=0.8)


def fit(tmp_path, task=None, rows=None, valid=None, **config):
    context = Context.under(tmp_path, f"fit-{len(list(tmp_path.iterdir()))}")
    rows = training_rows(400) if rows is None else rows
    trainer = XgBoostTrainer(msgspec.structs.replace(QUICK, **config))
    handle = None if valid is None else TableHandle.of(valid)
    return trainer.fit(task or training_task("binary"), TableHandle.of(rows), handle, context)


def opened(tmp_path, task, rows, **config):
    folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
    runtimes = {"xgboost": XgBoostRuntime()}
    bundle.write(folder, fit(tmp_path, task, rows, **config), task, TableHandle.of(rows), runtimes)
    return bundle.open_bundle(folder, runtimes.__getitem__)


class TestTrainer(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return XgBoostTrainer(QUICK)

    @pytest.fixture
    def config(self):
        return QUICK

    def built(self, config):
        return XgBoostTrainer(config)

    @pytest.fixture
    def runtimes(self):
        return {"xgboost": XgBoostRuntime()}


class TestRuntime(RuntimeConformance):
    @pytest.fixture(params=["binary", "multiclass", "regression", "quantiles"])
    def task(self, request):
        quantiles = request.param == "quantiles"
        return training_task("regression", quantiles=(0.1, 0.9)) if quantiles else training_task(request.param)

    @pytest.fixture
    def runtime(self):
        return XgBoostRuntime()

    @pytest.fixture
    def folder(self, tmp_path, task):
        return opened(tmp_path, task, training_rows(300)).folder


def test_rows_held_out_find_the_number_of_rounds_and_the_trees_learn_from_all_rows(tmp_path):
    trained = fit(tmp_path, num_boost_round=200, early_stopping_rounds=5)
    assert trained.facts["validation_rows"] == 60
    assert 0 < trained.metrics["holdout_log_loss"] < 0.7
    plain = fit(tmp_path, num_boost_round=trained.facts["rounds"], holdout=0)
    assert trained.facts["rounds"] < 200
    assert trained.files["model.json"].read_bytes() == plain.files["model.json"].read_bytes()


def test_validation_rows_stop_it_early_and_the_best_round_is_kept(tmp_path):
    rows, valid = training_rows(400), training_rows(400, seed=1)
    whole = fit(tmp_path, rows=rows, valid=valid, num_boost_round=200, early_stopping_rounds=0)
    stopped = fit(tmp_path, rows=rows, valid=valid, num_boost_round=200, early_stopping_rounds=5)
    assert whole.facts["rounds"] == 200
    assert stopped.facts["rounds"] < 200
    model = json.loads(stopped.files["model.json"].read_bytes())["learner"]["gradient_booster"]["model"]
    assert len(model["trees"]) == stopped.facts["rounds"]
    assert stopped.metrics["valid_log_loss"] < whole.metrics["valid_log_loss"]


def test_what_float32_cannot_hold_counts_as_its_largest_number(tmp_path):
    rows = pl.DataFrame({"x": [float(at) for at in range(200)], "y": [at % 100 * 1.0 for at in range(200)]})
    loaded = opened(tmp_path, TrainingTask(task="regression", target="y"), rows)
    beyond = loaded.predict_table(pl.DataFrame({"x": [1e300, np.inf, -np.inf, -1e300]}))["value"]
    largest = loaded.predict_table(pl.DataFrame({"x": [3.4e38, 3.4e38, -3.4e38, -3.4e38]}))["value"]
    assert np.array_equal(beyond, largest)


def test_a_category_that_training_did_not_see_counts_as_missing(tmp_path):
    rows = training_rows(600)
    loaded = opened(tmp_path, training_task("binary", features=("color", "count")), rows)
    unseen, missing = (rows[:50].with_columns(color=pl.lit(value, pl.String)) for value in ("no color", None))
    assert np.array_equal(loaded.predict_table(unseen)["probability"], loaded.predict_table(missing)["probability"])


def test_no_value_of_a_personal_column_is_in_the_bundle(tmp_path):
    rows = training_rows(400).with_columns(color=pl.col("color") + "-secret")
    task = training_task("binary", options={"color": {"pii": True}}, features=("color", "count"))
    assert all(b"secret" not in file.read_bytes() for file in fit(tmp_path, task, rows).files.values())


def test_the_same_rows_give_the_same_files_twice(tmp_path):
    assert digests(fit(tmp_path)) == digests(fit(tmp_path))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("mlopsfw_xgboost.find_spec", lambda _name: None)
    for build, config in ((build_trainer, XgBoostConfig()), (build_runtime, XgBoostRuntimeConfig())):
        with pytest.raises(MissingExtra, match=r"mlopsfw\[xgboost\]"):
            build(config, None)


def test_a_tree_without_a_limit_is_refused_when_the_options_are_read():
    with pytest.raises(msgspec.ValidationError, match="set `max_depth`, `max_leaves` or both"):
        msgspec.convert({"max_depth": 0}, XgBoostConfig)


# XGBoost's predictions look at no bounds: a forged document would answer from memory beyond an array, or never.


@pytest.fixture(scope="module")
def numbers():
    rows = np.random.default_rng(0).random((400, 3))
    rows[:, 2] = np.arange(400) % 40
    rows[::9, :2] = np.nan
    return rows


def trained(numbers, task, **params):
    labels = (numbers[:, 2] + (numbers[:, 0] > 0.5) + 2 * (numbers[:, 1] > 0.3)) % 3
    labels = labels > 0 if task == "binary" else labels
    table = xgboost.QuantileDMatrix(numbers, labels, feature_types=["q", "q", "c"], enable_categorical=True)
    classes = {"num_class": 3} if task == "multiclass" else {}
    settings = {"objective": OBJECTIVES[task], "nthread": 1, "max_depth": 4, "verbosity": 0, **classes, **params}
    return xgboost.train(settings, table, 4)


@pytest.mark.parametrize(
    "params", [{}, {"gamma": 1e9}, {"max_cat_to_onehot": 50}, {"grow_policy": "lossguide"}], ids=str
)
@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 3), ("regression", 0)])
def test_a_document_of_xgboost_predicts_the_same_after_the_check(task, classes, params, numbers):
    booster = trained(numbers, task, **params)
    data, columns = checked_document(bytes(booster.save_raw("json")), OBJECTIVES[task], classes)
    again = xgboost.Booster(model_file=bytearray(data))
    assert columns == 3
    assert np.array_equal(again.inplace_predict(numbers), booster.inplace_predict(numbers))


def nodes(change):
    """Return a forgery of the first tree that has at least five nodes."""

    def forge(document):
        trees = document["learner"]["gradient_booster"]["model"]["trees"]
        change(next(tree for tree in trees if len(tree["left_children"]) >= 5 and tree["categories"]))

    return forge


FORGED = {
    "a cycle": nodes(lambda tree: tree["left_children"].__setitem__(1, 0)),
    "a child of itself": nodes(lambda tree: tree["left_children"].__setitem__(0, 0)),
    "a child beyond the nodes": nodes(lambda tree: tree["left_children"].__setitem__(0, 99_999_999)),
    "a child before the nodes": nodes(lambda tree: tree["left_children"].__setitem__(0, -99_999_999)),
    "one child": nodes(lambda tree: tree["left_children"].__setitem__(0, -1)),
    "a node twice": nodes(lambda tree: tree["left_children"].__setitem__(0, tree["right_children"][0])),
    "nodes out of reach": nodes(lambda tree: (tree["left_children"].__setitem__(0, -1), tree["right_children"].__setitem__(0, -1))),
    "a column beyond the rows": nodes(lambda tree: tree["split_indices"].__setitem__(0, 3)),
    "a column before the rows": nodes(lambda tree: tree["split_indices"].__setitem__(0, -1)),
    "fewer thresholds": nodes(lambda tree: tree["split_conditions"].pop()),
    "fewer kinds of splits": nodes(lambda tree: tree["split_type"].pop()),
    "another kind of split": nodes(lambda tree: tree["split_type"].__setitem__(0, 7)),
    "more nodes": nodes(lambda tree: tree["tree_param"].update(num_nodes="5000")),
    "no nodes": nodes(lambda tree: tree["tree_param"].update(num_nodes="0")),
    "nodes without number": nodes(lambda tree: tree["tree_param"].update(num_nodes="-3")),
    "deleted nodes": nodes(lambda tree: tree["tree_param"].update(num_deleted="2")),
    "leaves of several values": nodes(lambda tree: tree["tree_param"].update(size_leaf_vector="3")),
    "a set beyond the categories": nodes(lambda tree: tree["categories_sizes"].__setitem__(-1, 99_999)),
    "a set of nothing": nodes(lambda tree: tree["categories_sizes"].__setitem__(-1, 0)),
    "sets that overlap": nodes(lambda tree: tree["categories_segments"].__setitem__(-1, 1)),
    "a set that is not there": nodes(lambda tree: tree["categories_nodes"].pop()),
    "a set of another node": nodes(lambda tree: tree["categories_nodes"].__setitem__(0, 4_000_000)),
    "a category before the first": nodes(lambda tree: tree["categories"].__setitem__(0, -1)),
    "a category that takes all memory": nodes(lambda tree: tree["categories"].__setitem__(0, 1 << 32)),
    "a category that takes much memory": nodes(lambda tree: tree["categories"].__setitem__(0, (1 << 31) - 1)),
    "a number without end": nodes(lambda tree: tree["split_conditions"].__setitem__(0, float("inf"))),
    "another objective": lambda document: document["learner"]["objective"].update(name="rank:ndcg"),
    "another task": lambda document: document["learner"]["objective"].update(name="reg:squarederror"),
    "more classes": lambda document: document["learner"]["learner_model_param"].update(num_class="900"),
    "more targets": lambda document: document["learner"]["learner_model_param"].update(num_target="9"),
    "fewer columns": lambda document: document["learner"]["learner_model_param"].update(num_feature="1"),
    "no columns": lambda document: document["learner"]["learner_model_param"].update(num_feature="99999999999"),
    "no score": lambda document: document["learner"]["learner_model_param"].update(base_score="[]"),
    "a score without end": lambda document: document["learner"]["learner_model_param"].update(base_score="[inf]"),
    "a tree less": lambda document: document["learner"]["gradient_booster"]["model"]["trees"].pop(),
    "another booster": lambda document: document["learner"]["gradient_booster"].update(name="dart"),
    "a forest": lambda document: document["learner"]["gradient_booster"]["model"]["gbtree_model_param"].update(num_parallel_tree="4"),
    "another version": lambda document: document.update(version=[4, 0, 0]),
    "no version": lambda document: document.pop("version"),
}  # fmt: skip


@pytest.fixture(scope="module")
def document(numbers):
    return bytes(trained(numbers, "multiclass").save_raw("json"))


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_document_is_refused(forge, document):
    forged = json.loads(document)
    forge(forged)
    with pytest.raises((ValueError, msgspec.DecodeError)):
        checked_document(json.dumps(forged).encode(), OBJECTIVES["multiclass"], 3)


def test_xgboost_never_reads_a_forged_document(monkeypatch, tmp_path):
    loaded = opened(tmp_path, training_task("binary"), training_rows(100), num_boost_round=1)
    file = loaded.folder / "model.json"
    forged = json.loads(file.read_bytes())
    forged["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"][0] = 99_999_999
    file.write_text(json.dumps(forged))
    files = {**loaded.manifest.files, "model.json": hashlib.sha256(file.read_bytes()).hexdigest()}
    monkeypatch.setattr(xgboost, "Booster", lambda *_, **__: pytest.fail("XGBoost read it"))
    with pytest.raises(BundleError, match=r"model\.json is not a model .* tree 0 has the child 99999999"):
        XgBoostRuntime().load(loaded.folder, msgspec.structs.replace(loaded.manifest, files=files))


@pytest.mark.parametrize(
    ("name", "content"),
    [("encoding.json", b"[]"), ("encoding.json", b"{}"), ("model.json", b"{}"), ("model.json", b"x")],
)
def test_files_that_disagree_are_refused(name, content, tmp_path):
    loaded = opened(tmp_path, training_task("binary"), training_rows(100), num_boost_round=1)
    (loaded.folder / name).write_bytes(content)
    files = {**loaded.manifest.files, name: hashlib.sha256(content).hexdigest()}
    with pytest.raises(BundleError):
        XgBoostRuntime().load(loaded.folder, msgspec.structs.replace(loaded.manifest, files=files))
