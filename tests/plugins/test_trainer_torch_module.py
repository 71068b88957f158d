"""The trainer `torch` with a module of the user's: columns in, a served ONNX model out, and errors that name module and shapes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from module_rows import everything

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.errors import ConfigError, DataError, SignatureMismatch, UsageError
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.models import bundle
from mlopsfw.testing.trainer import Context, digests
from mlopsfw_runtime_onnx.runtime import OnnxRuntime
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.checkpoint import Checkpoints
from mlopsfw_trainer_torch.module_trainer import ModuleTrainer

DRAW = np.random.default_rng(0)
ROWS = 161  # one more than whole batches: batch normalisation gets no batch of one row
VECTORS = pl.DataFrame(
    {"vector": DRAW.normal(0, 1, (ROWS, 4)).astype(np.float32), "kind": DRAW.choice(["a", "b", "c"], ROWS)}
)
TASK = TrainingTask(task="multiclass", target="kind")


@pytest.fixture(autouse=True)
def nets(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


def trainer(module="nets:Dense", **config):
    return ModuleTrainer(TorchConfig(module=module, **{"epochs": 3, "batch_size": 16, "learning_rate": 1e-2, **config}))


def fit(tmp_path, rows=VECTORS, task=TASK, name="fit", **config):
    context = Context.under(tmp_path, name)
    return trainer(**config).fit(task, TableHandle.of(rows), None, context)


@pytest.fixture
def unexported(monkeypatch):
    """Leave the export out, which takes most of the time, where a test is about the training."""

    def export(*arguments):
        arguments[-1].write_bytes(b"")
        return 0.0

    monkeypatch.setattr("mlopsfw_trainer_torch.module_trainer.export_module", export)


def test_images_texts_lists_and_bytes_are_learned_from_and_served_as_they_come(tmp_path):
    rows, task = everything(120), TrainingTask(task="binary", target="label")
    model = fit(tmp_path, rows, task, module="nets:Everything", params={"width": 3}, length=12, epochs=12)
    assert {each.name: each.type for each in model.inputs} == {
        "image": "tensor", "text": "string", "items": "list", "octets": "binary", "number": "number", "count": "integer",
        "flag": "boolean",
    }  # fmt: skip
    assert model.facts["export_difference"] <= 1e-5
    assert model.facts["attributions"]() == {"number": 1.0}
    assert model.facts["attributions_without"] == ["image", "text", "items", "octets", "count", "flag"]
    runtimes = {"onnx": OnnxRuntime()}
    bundle.write(tmp_path / "bundle", model, task, TableHandle.of(rows), runtimes)
    opened = bundle.open_bundle(tmp_path / "bundle", runtimes.__getitem__)  # replays the golden rows
    answers = opened.predict(rows.drop("label").to_dict(as_series=False))["probability"]
    assert ((answers > 0.5) == rows["label"].to_numpy()).mean() > 0.9
    one = {name: values[:1] for name, values in rows.drop("label").to_dict(as_series=False).items()}
    assert opened.predict(one)["probability"] == pytest.approx(answers[:1], abs=1e-6)
    with pytest.raises(SignatureMismatch, match="3 bytes, but the model takes 2"):
        opened.predict({**one, "octets": [b"abc"]})
    text = str(onnx.load(model.files["model.onnx"]))
    assert "nets" not in text, "the file holds lines or paths of the user's code"


def test_equal_trainings_give_equal_files_and_a_transform_or_loss_gives_others(tmp_path, unexported):
    weights = {
        name: digests(fit(tmp_path, name=name, **config))["weights.safetensors"]
        for name, config in {
            "first": {}, "again": {}, "loss": {"loss": "nets:smoothed"}, "transform": {"transform": "nets:noisy"},
        }.items()
    }  # fmt: skip
    assert weights["first"] == weights["again"]
    assert len(set(weights.values())) == 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"params": {"fault": "narrow"}}, r"nets:Dense returns float32 \[2, 1\] for float32 \[2, 4\], but .* floats \[rows, 3\]"),
        ({"params": {"width": 5}}, r"float32 \[2, 5\]"),
        ({"params": {"fault": "integers"}}, r"returns int64 \[2, 3\]"),
        ({"params": {"fault": "tuple"}}, "returns a tuple, not a tensor"),
        ({"params": {"fault": "detached"}}, r"the loss of the output of nets:Dense is float32 \[\], not one number that depends"),
        ({"params": {"depth": 2}}, "nets:Dense does not take the params depth"),
        ({"module": "nets:Nothing"}, "nets:Nothing has no parameters to learn"),
        ({"module": "nets:Exploding"}, "gives a Exploding, which is no torch.nn.Module"),
        ({"module": "nets:Columns"}, r"nets:Columns cannot take float32 \[2, 4\]: .*'b'"),
        ({"module": "nets:Missing"}, "module = 'nets:Missing': nets has no 'Missing'"),
        ({"loss": "nets:each_row"}, r"nets:each_row of the output of nets:Dense is float32 \[2\], not one number"),
        ({"transform": "nets:longer"}, r"nets:longer makes float32 \[2, 8\] of float32 \[2, 4\]"),
        ({"loss": "nets:smoothed", "class_weights": "balanced"}, "nets:smoothed takes no weights"),
    ],
)  # fmt: skip
def test_a_module_that_does_not_fit_is_refused_before_training_by_name_and_shape(tmp_path, config, message):
    with pytest.raises(UsageError, match=message):
        fit(tmp_path, **config)


def test_a_float_module_for_integers_names_both_types(tmp_path):
    rows = VECTORS.with_columns(vector=pl.Series(np.ones((ROWS, 4), dtype=np.int32)))
    with pytest.raises(UsageError, match=r"nets:Dense cannot take int32 \[2, 4\]: "):
        fit(tmp_path, rows)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([None] + [[0.0] * 4] * (ROWS - 1), "holds nulls"),
        ([[float("nan")] * 4] * ROWS, "holds NaN or infinite values"),
        ([[[1.0], [1.0, 2.0]]] * ROWS, "tensors of several shapes"),
        ([datetime(2026, 1, 1, tzinfo=UTC)] * ROWS, "is no tensor"),
    ],
)
def test_a_column_that_is_no_tensor_is_refused_with_what_to_do(tmp_path, column, message):
    with pytest.raises(DataError, match=message) as caught:
        fit(tmp_path, VECTORS.with_columns(vector=pl.Series(column)))
    assert "in a step before" in caught.value.hint


def test_rows_without_a_label_may_lack_what_a_module_reads(tmp_path, unexported):
    rows = pl.concat([pl.DataFrame({"vector": [None], "kind": [None]}, schema=VECTORS.schema), VECTORS])
    assert fit(tmp_path, rows, epochs=1).facts["rows_without_label"] == 1


def test_options_of_columns_and_personal_ones_are_refused(tmp_path):
    task = TrainingTask(task="multiclass", target="kind", options={"vector": {"pii": True}})
    with pytest.raises(UsageError, match="'vector'"):
        fit(tmp_path, task=task)
    with pytest.raises(ConfigError, match="no `module`"):
        TorchConfig(loss="nets:smoothed")


def test_a_module_with_a_branch_on_values_cannot_be_exported_and_says_so(tmp_path):
    with pytest.raises(UsageError, match="Dense cannot be exported to ONNX") as caught:
        fit(tmp_path, params={"fault": "branch"})
    assert "branches" in caught.value.hint


def test_a_loss_of_nan_stops_at_once_and_the_last_good_checkpoint_is_kept(tmp_path):
    import nets

    nets.Exploding.calls = 0
    context = Context.under(tmp_path, "nan")
    run = trainer(loss="nets:exploding", epochs=9, checkpoint_every=4, patience=0)
    with pytest.raises(
        DataError, match=r"nets:exploding became nan in epoch 3, step 28, .* checkpoint of step 28 is kept"
    ):
        run.fit(TASK, TableHandle.of(VECTORS), None, context)
    assert nets.Exploding.calls == 30
    assert Checkpoints(context.checkpoints, "any").last_step == 28


def test_a_validation_loss_of_nan_stops_too_and_leaves_no_untrained_model(tmp_path):
    with pytest.raises(DataError, match="the validation loss of nets:Dense became nan in epoch 1"):
        fit(tmp_path, params={"fault": "evaluated"})


def test_weights_reach_a_loss_that_takes_them_and_another_does_not_name_the_ability(tmp_path, unexported):
    rows = VECTORS.with_columns(weight=pl.when(pl.col("kind") == "a").then(9.0).otherwise(0.01))
    task = TrainingTask(task="multiclass", target="kind", weight="weight")
    model = fit(tmp_path, rows, task, loss="nets:weighted", epochs=20)
    assert model.metrics["train_accuracy"] > 0.95  # by weight: the rows of "a" count, which are few
    assert "weight" in trainer(loss="nets:weighted").abilities
    assert "weight" not in trainer(loss="nets:smoothed").abilities
    assert "weight" in trainer().abilities
