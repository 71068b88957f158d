"""The trainer `torch`: the contract, resumption after kill -9, device and precision, weights, importance, export."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
import torch

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features import FeaturePlan
from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.testing.trainer import Context, TrainerConformance, digests, training_rows, training_task
from mlopsfw_runtime_onnx.runtime import OnnxRuntime
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.schedule import schedule_of
from mlopsfw_trainer_torch.trainer import TorchTrainer

QUICK = TorchConfig(epochs=6, batch_size=64, learning_rate=5e-3, hidden=(32,), members=8)


class TestConformance(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return TorchTrainer(QUICK)

    @pytest.fixture
    def config(self):
        return QUICK

    def built(self, config):
        return TorchTrainer(config)


class TestContractWithCheckpointsWithinEpochs(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return TorchTrainer(msgspec.structs.replace(QUICK, checkpoint_every=3, hidden=(16, 8), dropout=0.3, epochs=8))


class TestContractOfALinearModel(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return TorchTrainer(msgspec.structs.replace(QUICK, network="mlp", hidden=(), epochs=20, learning_rate=2e-2))


def fit(tmp_path, rows=None, task=None, valid=None, **config):
    rows = training_rows(400) if rows is None else rows
    context = Context.under(tmp_path, f"fit-{len(list(tmp_path.iterdir()))}")
    trainer = TorchTrainer(msgspec.structs.replace(QUICK, **config))
    return trainer.fit(
        task or training_task("binary"), TableHandle.of(rows), None if valid is None else TableHandle.of(valid), context
    )


CHILD = """
import sys
from pathlib import Path
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.testing.trainer import Context, digests, training_rows, training_task
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.trainer import TorchTrainer
from mlopsfw.data.tables import row_order
folder, name, memory = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
row_order.BLOCK = 256
rows = training_rows(3000)
options = {"memory": memory, "accumulate": 2, "clip": 0.5, "ema": 0.9, "scheduler": "linear"}
config = TorchConfig(epochs=8, batch_size=32, hidden=(64, 32), members=4, checkpoint_every=7, patience=0, **options)
context = Context.under(folder, name, "kept")
train, valid = TableHandle.of(rows[:2600]), TableHandle.of(rows[2600:])
model = TorchTrainer(config).fit(training_task("binary"), train, valid, context)
import json
resumed = [value for metric, value, _ in context.metrics if metric == "resumed_at_step"]
print(json.dumps([digests(model), dict(model.metrics), resumed]))
"""


@pytest.mark.faults
@pytest.mark.parametrize("memory", ["", pytest.param("1kB", marks=pytest.mark.nightly)])
def test_killed_again_and_again_it_comes_to_the_very_same_model(tmp_path, memory):
    (tmp_path / "straight").mkdir()
    whole, metrics, none = child(tmp_path / "straight", "only", memory)
    assert none == []
    kept = tmp_path / "killed"
    (kept / "kept").mkdir(parents=True)
    strikes = [kill_after_checkpoints(kept, f"attempt-{n}", memory, n + 1) for n in range(2)]
    assert any(strikes)
    (kept / "kept" / "unfinished-000000099-9").mkdir()
    found, again, resumed = child(kept, "last", memory)
    assert resumed
    assert resumed[0] > 0
    assert found == whole
    assert again == metrics


def child(folder, name, memory):
    out = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), name, memory], capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


def kill_after_checkpoints(folder, name, memory, count):
    """Start a training, kill it once it has written `count` further checkpoints; return whether it was still at work."""
    last = newest(folder)
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(folder), name, memory], stdout=subprocess.DEVNULL)
    seen = 0
    while process.poll() is None and seen < count:
        now = newest(folder)
        seen, last = seen + (now != last), now
        time.sleep(0.002)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def newest(folder):
    return max((p.name for p in (folder / "kept").glob("step-*")), default="")


def test_a_model_whose_training_was_finished_is_not_trained_again(tmp_path):
    rows, config = TableHandle.of(training_rows(400)), TorchTrainer(QUICK)
    first = config.fit(training_task("binary"), rows, None, Context.under(tmp_path, "a", "kept"))
    again = Context.under(tmp_path, "b", "kept")
    second = config.fit(training_task("binary"), rows, None, again)
    assert digests(first) == digests(second)
    assert [name for name, _, _ in again.metrics] == ["resumed_at_step"]


def test_at_most_two_checkpoints_are_kept(tmp_path):
    context = Context.under(tmp_path, "a", "kept")
    often = msgspec.structs.replace(QUICK, checkpoint_every=2)
    TorchTrainer(often).fit(training_task("binary"), TableHandle.of(training_rows(400)), None, context)
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert {file.name for file in (tmp_path / "kept").rglob("*.*")} == {"state.safetensors", "state.json"}


def test_cuda_that_is_not_there_is_a_clear_error_and_auto_takes_the_cpu(tmp_path):
    if torch.cuda.is_available():
        assert fit(tmp_path, device="cuda").facts["device"] != "cpu"
        return
    with pytest.raises(PluginError, match=r"device = 'cuda'") as caught:
        fit(tmp_path, device="cuda")
    assert "auto" in caught.value.hint
    assert fit(tmp_path, device="auto").facts["device"] == "cpu"


def test_mixed_precision_is_refused_where_it_cannot_be(tmp_path):
    with pytest.raises(PluginError, match="precision"):
        fit(tmp_path, device="cpu", precision="mixed")
    assert fit(tmp_path, device="cpu").facts["precision"] == "full"


def test_torch_is_left_as_it_was_found(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fit(tmp_path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before[1:]


def test_it_stops_when_validation_gets_no_better_and_keeps_the_best_epoch(tmp_path):
    rows = training_rows(300)
    noise = rows.with_columns(binary=pl.Series(np.random.default_rng(0).random(300) < 0.5))
    model = fit(tmp_path, noise[:200], valid=noise[200:], epochs=60, patience=2, learning_rate=2e-2)
    assert model.facts["epochs"] < 60
    assert model.facts["best_epoch"] == model.facts["epochs"] - 2


@pytest.mark.parametrize(
    ("rows", "schedule"),
    [
        (1, (400, 32, 100)), (200, (143, 32, 36)), (1_000, (32, 32, 8)), (6_000, (42, 256, 11)),
        (60_000, (17, 1024, 5)), (1_000_000, (10, 1024, 3)),
    ],
)  # fmt: skip
def test_the_length_of_a_training_follows_the_rows(rows, schedule):
    assert schedule_of(TorchConfig(), rows) == schedule


@pytest.mark.parametrize("rows", [1, 31, 33, 500, 3_000, 20_000, 500_000])
def test_a_training_by_itself_takes_enough_steps_or_as_many_epochs_as_are_sensible(rows):
    epochs, size, patience = schedule_of(TorchConfig(), rows)
    assert epochs * -(-rows // size) >= 1_000 or epochs == 400
    assert 3 <= patience <= epochs


def test_explicit_options_win_over_what_follows_the_rows():
    config = TorchConfig(epochs=4, batch_size=1024, patience=0)
    assert schedule_of(config, 6_000) == (4, 1024, 0)
    assert schedule_of(TorchConfig(epochs=4), 6_000) == (4, 256, 3)


def test_a_trainer_as_it_comes_learns_a_small_table_and_says_what_it_chose(tmp_path):
    rows, later = training_rows(800), training_rows(400, seed=1)
    context = Context.under(tmp_path, "default")
    task = training_task("binary", features=("number", "count", "color", "flag"))
    model = TorchTrainer(TorchConfig()).fit(task, TableHandle.of(rows), TableHandle.of(later), context)
    assert model.metrics["valid_auc"] > 0.9
    assert model.facts["schedule"] == {"epochs": 40, "batch_size": 32, "patience": 10}
    assert model.facts["epochs"] < 40  # stopped by the validation rows


def test_weights_of_zero_leave_rows_out(tmp_path):
    rows = training_rows(600).with_columns(weight=pl.when(pl.int_range(pl.len()) % 2 == 0).then(1.0).otherwise(0.0))
    flipped = rows.with_columns(binary=pl.when(pl.col("weight") == 0).then(~pl.col("binary")).otherwise("binary"))
    task = training_task("binary", weight="weight")
    a, b = (fit(tmp_path, each, task) for each in (rows, flipped))
    assert digests(a) == digests(b)


def test_balanced_class_weights_raise_the_rarer_class(tmp_path):
    rows = training_rows(2000).filter(~pl.col("binary") | (pl.int_range(pl.len()) % 10 == 0))
    plain, balanced = (fit(tmp_path, rows, class_weights=each) for each in ("none", "balanced"))
    assert balanced.metrics["train_recall"] > plain.metrics["train_recall"]


def test_importance_names_what_the_label_hangs_on(tmp_path):
    facts = fit(tmp_path, training_rows(1500), epochs=8).facts
    for shares in (facts["importance"], facts["attributions"]):
        assert next(iter(shares)) in ("number", "color")
        assert shares["constant"] == 0
        assert sum(shares.values()) == pytest.approx(1, abs=1e-4)


def test_text_and_integer_classes_keep_their_type(tmp_path):
    rows = training_rows(300).with_columns(number_class=pl.col("count") % 3)
    task = TrainingTask(task="multiclass", target="number_class", features=("number", "color"))
    assert fit(tmp_path, rows, task).classes == (0, 1, 2)
    text = TrainingTask(task="binary", target="label", features=("number", "color"))
    rows = rows.with_columns(label=pl.when("binary").then(pl.lit("late")).otherwise(pl.lit("in time")))
    assert fit(tmp_path, rows, text).classes == ("in time", "late")


@pytest.mark.parametrize("features", [("number", "flag"), ("color", "code"), ("moment",)])
def test_numbers_alone_categories_alone_and_times_alone_suffice(tmp_path, features):
    task = TrainingTask(task="binary", target="binary", features=features)
    model = fit(tmp_path, task=task)
    assert model.facts["export_difference"] <= 1e-5


@pytest.mark.parametrize("network", ["tabm", "mlp"])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_onnx_model_answers_as_torch_does(tmp_path, kind, network):
    from safetensors.torch import load_file

    from mlopsfw.features.tables import table_arrays
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.models.bundle.manifest import outputs_for
    from mlopsfw_trainer_torch.export import outputs_of
    from mlopsfw_trainer_torch.rows import Target
    from mlopsfw_trainer_torch.tabm import mean_logits, network_of

    model = fit(tmp_path, task=training_task(kind), network=network)
    plan = FeaturePlan.from_json(model.files["plan.json"].read_bytes())
    arrays = plan.polars(training_rows(500, seed=8))
    target = Target(kind, model.classes, training_rows(400)[kind].mean() if kind == "regression" else 0.0,
                    training_rows(400)[kind].to_numpy().std() if kind == "regression" else 1.0)  # fmt: skip
    config = msgspec.structs.replace(QUICK, network=network, dropout=0.0)
    trained = network_of(config, plan, target.outputs)
    trained.load_state_dict(load_file(model.files["weights.safetensors"]))
    logits = trained(*(torch.from_numpy(arrays[n]) for n in ("numeric", "categorical"))).detach()
    expected = outputs_of(mean_logits(logits, kind), target)
    file = model.files["model.onnx"]
    files = {name: digests(model)[name] for name in (file.name, "plan.json")}
    manifest = Manifest(task=kind, target=kind, inputs=plan.inputs, outputs=outputs_for(kind, model.classes), formats={"onnx": file.name},
                        files=files)  # fmt: skip
    columns = table_arrays(training_rows(500, seed=8), plan.inputs)
    found = OnnxRuntime().load(Path(file.parent), manifest).predict(columns)[manifest.outputs[0].name]
    assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("limit", [1, 51, 128, 255])
def test_dropout_keeps_each_value_whose_byte_reaches_the_limit(limit):
    from mlopsfw_trainer_torch.network import ByteDropout

    torch.manual_seed(0)
    octets = torch.empty(4096, dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
    torch.manual_seed(0)
    assert torch.equal(
        ByteDropout(limit / 256)(torch.ones(32768)), (octets >= limit) * torch.tensor(256 / (256 - limit))
    )


@pytest.mark.parametrize("shape", [(1000, 33), (7,), (0, 4), (3, 5, 7)])
def test_dropout_drops_its_share_and_keeps_the_mean(shape):
    from mlopsfw_trainer_torch.network import ByteDropout

    layer, x = ByteDropout(0.25), torch.ones(shape)
    torch.manual_seed(0)
    made = layer(x)
    assert made.shape == x.shape
    assert torch.isclose(made[made > 0], torch.tensor(4 / 3)).all()
    if x.numel() > 10_000:
        assert (made == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
        assert made.mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(layer.eval()(x), x)
