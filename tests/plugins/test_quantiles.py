"""Quantiles of a regression's target, beside its value: the bundled trainers that learn them, weighted, streamed, and after a stop."""

from __future__ import annotations

import hashlib
import json

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from test_trainer_torch_processes import OneNode
from threadpoolctl import threadpool_limits

from mlopsfw.data.tables import row_order
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.errors import BundleError, UsageError
from mlopsfw.models import bundle
from mlopsfw.testing.trainer import Context, Stopped, digests, training_rows, training_task
from mlopsfw_lightgbm import LightGbmConfig
from mlopsfw_lightgbm.runtime import LightGbmRuntime
from mlopsfw_lightgbm.trainer import LightGbmTrainer
from mlopsfw_runtime_onnx.runtime import OnnxRuntime
from mlopsfw_trainer_sklearn import SklearnConfig
from mlopsfw_trainer_sklearn.trainer import SklearnTrainer
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.quantiles import of_quantiles
from mlopsfw_trainer_torch.trainer import TorchTrainer
from mlopsfw_xgboost import XgBoostConfig
from mlopsfw_xgboost.runtime import XgBoostRuntime
from mlopsfw_xgboost.trainer import XgBoostTrainer

QUICK = {
    "lightgbm": (LightGbmTrainer, LightGbmConfig(num_iterations=60, learning_rate=0.2, num_leaves=8)),
    "xgboost": (XgBoostTrainer, XgBoostConfig(num_boost_round=60, learning_rate=0.2, max_depth=3)),
    "torch": (TorchTrainer, TorchConfig(epochs=12, batch_size=64, learning_rate=5e-3, hidden=(32,), members=4)),
}
PIPELINE = SklearnConfig(factory="test_quantiles:boosted")
RUNTIMES = {"lightgbm": LightGbmRuntime(), "xgboost": XgBoostRuntime(), "onnx": OnnxRuntime()}
REGRESSIONS = (HistGradientBoostingRegressor, GradientBoostingRegressor, QuantileRegressor)
TREES = {"lightgbm": "txt", "xgboost": "json"}
TASK = training_task("regression", quantiles=(0.2, 0.8), features=("number", "count", "color"))
LEVELS = ("quantile_0.2", "quantile_0.8")


def boosted(estimator="HistGradientBoostingRegressor", **params):
    """Return a regression of scikit-learn behind an encoder and an imputer."""
    columns = ColumnTransformer(
        [
            ("color", OneHotEncoder(handle_unknown="ignore"), ["color"]),
            ("numbers", SimpleImputer(), ["number", "count"]),
        ]
    )
    known = {each.__name__: each for each in (*REGRESSIONS, LinearRegression)}
    small = {"HistGradientBoostingRegressor": {"max_iter": 30}, "GradientBoostingRegressor": {"n_estimators": 30}}
    return make_pipeline(columns, known[estimator](**small.get(estimator, {}), **params))


def fit(folder, kind, rows, task=TASK, *, name="", valid=None, launcher=None, stop_at=0, **config):
    """Return a trained model, and the context of its training."""
    trainer, options = {**QUICK, "sklearn": (SklearnTrainer, PIPELINE)}[kind]
    context = Context.under(folder, name or f"fit-{len(list(folder.iterdir()))}", "kept" if name else "", stop_at)
    context.launcher = launcher
    checked = None if valid is None else TableHandle.of(valid)
    trained = trainer(msgspec.structs.replace(options, **config)).fit(task, TableHandle.of(rows), checked, context)
    return trained, context


def opened(folder, kind, rows, task=TASK, **more):
    trained, _ = fit(folder, kind, rows, task, **more)
    made = folder / f"bundle-{len(list(folder.iterdir()))}"
    bundle.write(made, trained, task, TableHandle.of(rows), RUNTIMES)
    return bundle.open_bundle(made, RUNTIMES.__getitem__)


def below(model, rows):
    """Return the shares of labels below each quantile."""
    answers = model.predict_table(rows)
    return [float((rows["regression"].to_numpy() <= answers[name]).mean()) for name in LEVELS]


@pytest.mark.parametrize("kind", QUICK)
def test_rows_that_do_not_fit_into_memory_give_quantiles_too(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(row_order, "BLOCK", 256)
    model = opened(tmp_path, kind, training_rows(900), memory="1kB")
    assert model.manifest.facts["streamed"]
    assert below(model, training_rows(900, seed=1)) == pytest.approx([0.2, 0.8], abs=0.15)


@pytest.mark.parametrize("kind", [*QUICK, "sklearn"])
def test_rows_of_little_weight_hardly_move_a_quantile(tmp_path, kind):
    rows = training_rows(400)
    high = rows.with_columns(pl.col("regression") + 100)
    both = pl.concat([rows.with_columns(w=1.0), high.with_columns(w=1e-4)])
    task = msgspec.structs.replace(TASK, weight="w")
    assert below(opened(tmp_path, kind, both, task), training_rows(600, seed=1)) == pytest.approx([0.2, 0.8], abs=0.15)


@pytest.mark.parametrize("kind", QUICK)
def test_validation_rows_stop_each_loss_by_its_own(tmp_path, kind):
    trained, context = fit(tmp_path, kind, training_rows(300), valid=training_rows(200, seed=1))
    logged = {name for name, _, _ in context.metrics}
    own = {"quantiles"} if kind == "torch" else {*LEVELS}
    assert {f"{each}_valid_loss" for each in own} | {"valid_loss"} <= logged
    assert "valid_rmse" in trained.metrics
    assert not [name for name in trained.metrics if "quantile" in name]


@pytest.mark.parametrize("kind", TREES)
def test_a_file_of_a_quantile_that_does_not_suit_the_model_is_refused(tmp_path, kind):
    rows = training_rows(300)
    model = opened(tmp_path, kind, rows)
    other, _ = fit(tmp_path, kind, rows, training_task("regression", quantiles=(0.2, 0.8), features=("number",)))
    file = model.folder / f"quantile_0.8.{TREES[kind]}"
    manifest = json.loads((model.folder / "bundle.json").read_text())
    for wrong, words in ((other.files[file.name].read_bytes(), "columns"), (b"{}", "is not a")):
        file.write_bytes(wrong)
        manifest["files"][file.name] = hashlib.sha256(wrong).hexdigest()
        (model.folder / "bundle.json").write_text(json.dumps(manifest))
        with pytest.raises(BundleError, match=words):
            bundle.open_bundle(model.folder, RUNTIMES.__getitem__)


def test_a_network_stopped_while_it_learns_quantiles_goes_on_to_the_same_files(tmp_path):
    rows = training_rows(300)
    whole, straight = fit(tmp_path, "torch", rows, checkpoint_every=2)
    first = next(at for at, (name, *_) in enumerate(straight.metrics) if name == "quantiles_train_loss")
    with pytest.raises(Stopped):
        fit(tmp_path, "torch", rows, name="stopped", stop_at=first + 6, checkpoint_every=2)
    again, context = fit(tmp_path, "torch", rows, name="resumed", checkpoint_every=2)
    assert digests(again) == digests(whole)
    assert {"resumed_at_step", "quantiles_resumed_at_step"} <= {name for name, _, _ in context.metrics}


def test_processes_of_a_launcher_learn_the_quantiles_of_a_process(tmp_path):
    rows, options = training_rows(300), {"network": "mlp", "dropout": 0.0, "checkpoint_every": 2}
    alone, _ = fit(tmp_path, "torch", rows, **options)
    far, _ = fit(tmp_path, "torch", rows, launcher=OneNode(tmp_path), processes=2, **options)
    assert digests(far)["quantiles.safetensors"] == digests(alone)["quantiles.safetensors"]


@pytest.mark.parametrize("network", ["tabm", "mlp"])
def test_quantiles_of_a_network_that_cross_are_answered_in_order(tmp_path, network):
    rows, task = training_rows(300), msgspec.structs.replace(TASK, quantiles=(0.499, 0.501))
    options = {"network": network, "epochs": 2, "holdout": 0.0}
    answers = opened(tmp_path, "torch", rows, task, **options).predict_table(rows)
    assert (answers["quantile_0.499"] <= answers["quantile_0.501"]).all()
    trainer = TorchTrainer(msgspec.structs.replace(QUICK["torch"][1], **options))
    problem = of_quantiles(trainer._prepare(task, TableHandle.of(rows), None), task.quantiles)
    logits = trainer._trained(problem, task, Context.under(tmp_path, "raw")).logits(problem.train).numpy()
    assert 0.1 < (logits[:, 0] > logits[:, 1]).mean() < 0.9
    expected = np.sort(logits, axis=1) * problem.target.scale + problem.target.mean
    assert np.allclose(expected, np.stack([answers["quantile_0.499"], answers["quantile_0.501"]], axis=1), rtol=1e-5)


@pytest.mark.parametrize("estimator", REGRESSIONS)
def test_an_estimator_with_the_loss_of_a_quantile_answers_its_own_quantiles_from_one_graph(tmp_path, estimator):
    rows, later = training_rows(200), training_rows(100, seed=1)
    params = {"estimator": estimator.__name__}
    answers = opened(tmp_path, "sklearn", rows, params=params).predict_table(later)
    plain = opened(tmp_path, "sklearn", rows, msgspec.structs.replace(TASK, quantiles=()), params=params)
    assert np.array_equal(answers["value"], plain.predict_table(later)["value"])
    name = "alpha" if estimator is GradientBoostingRegressor else "quantile"
    loss = {} if estimator is QuantileRegressor else {"loss": "quantile"}
    seeded = {} if estimator is QuantileRegressor else {"random_state": TASK.seed}
    expected = []
    for level in (0.2, 0.8):
        own = boosted(estimator.__name__, **{name: level}, **loss, **seeded)
        with threadpool_limits(1):
            expected.append(own.fit(rows, rows["regression"]).predict(later))
    low, high = (answers[each] for each in LEVELS)
    assert np.allclose(low, np.minimum(*expected), rtol=1e-4)
    assert np.allclose(high, np.maximum(*expected), rtol=1e-4)


def test_an_estimator_without_such_a_loss_names_no_such_ability_and_skops_holds_none(tmp_path):
    assert "quantiles" in SklearnTrainer(PIPELINE).abilities
    line = msgspec.structs.replace(PIPELINE, params={"estimator": "LinearRegression"})
    assert "quantiles" not in SklearnTrainer(line).abilities
    with pytest.raises(UsageError, match="skops: a file holds one estimator, and quantiles need one each"):
        fit(tmp_path, "sklearn", training_rows(200), format="skops")
