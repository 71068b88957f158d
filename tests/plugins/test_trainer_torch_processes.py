"""The trainer `torch` in several processes: the loss of one, each row once an epoch, and no loss of a worker that is killed."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from thread_peers import run_side_by_side, two_peers

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.errors import DataError, PluginError
from mlopsfw.kernel.roles.engine import Resources
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.testing.trainer import Context, training_rows, training_task
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.device import repeatable
from mlopsfw_trainer_torch.module_trainer import ModuleTrainer
from mlopsfw_trainer_torch.trainer import TorchTrainer

DRAW = np.random.default_rng(1)
ROWS = 96
VECTORS = pl.DataFrame(
    {
        "vector": DRAW.normal(0, 1, (ROWS, 4)).astype(np.float32),
        "number": np.arange(ROWS),
        "kind": DRAW.choice(["a", "b", "c"], ROWS),
    }
)
TASK = TrainingTask(task="multiclass", target="kind")
NETS = TorchConfig(module="nets:Counted", epochs=4, batch_size=16, learning_rate=1e-2, patience=0, checkpoint_every=1)
PLAIN = TorchConfig(epochs=3, batch_size=64, hidden=(16,), members=4, dropout=0.0, clip=0.1, ema=0.9)


@pytest.fixture(autouse=True)
def nets(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.mark.parametrize("options", [{}, {"class_weights": "balanced"}, {"accumulate": 3}, {"network": "mlp"}])
def test_two_peers_that_share_each_batch_come_to_the_loss_of_one(tmp_path, options):
    trainer = TorchTrainer(msgspec.structs.replace(PLAIN, **options))
    task, cpu = training_task("binary", features=("number", "color")), torch.device("cpu")
    problem = trainer._prepare(task, TableHandle.of(training_rows(300)), None)
    with repeatable(task.seed, 1, cpu):
        state, made = torch.get_rng_state(), []
        for peers in (None, *two_peers()):
            torch.set_rng_state(state)
            made.append(trainer.training(problem, task, cpu, mixed=False, peers=peers))
        alone, *both = made
        run_side_by_side(made, tmp_path)
    first, second = (each.progress.history for each in both)
    assert np.allclose(first, alone.progress.history, atol=1e-5)
    assert first == second
    assert len(first) == 3


def test_more_processes_than_gpus_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr("mlopsfw_trainer_torch.trainer.choose_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr("mlopsfw_trainer_torch.trainer.choose_mixed", lambda *_: False)
    with pytest.raises(PluginError, match="processes = 200, but this machine has 0 GPUs"):
        fit(tmp_path, "many", processes=200)


def fit(tmp_path, name, launcher=None, **config):
    (tmp_path / f"{name}-notes").mkdir()
    params = {"folder": str(tmp_path / f"{name}-notes"), **config.pop("params", {})}
    context = Context.under(tmp_path, name)
    context.launcher = launcher
    trainer = ModuleTrainer(msgspec.structs.replace(NETS, params=params, **config))
    return trainer.fit(TASK, TableHandle.of(VECTORS), None, context), context


def weights(model):
    return torch.cat([each.reshape(-1) for _, each in sorted(load_file(model.files["weights.safetensors"]).items())])


def losses(context):
    return [value for name, value, _ in context.metrics if name == "train_loss"]


def notes(tmp_path, name):
    """Return the ids that each process learned from, a list for each step."""
    return {
        file.name: [[int(each) for each in line.split()] for line in file.read_text().splitlines()]
        for file in (tmp_path / f"{name}-notes").iterdir()
    }


class OneNode:
    """A launcher whose processes are this one. `stops` are the kept messages after which they start anew."""

    def __init__(self, folder, stops=()):
        self.folder, self.stops, self.starts, self.asked = folder, list(stops), 0, None

    def launch(self, target, *, count, each, folder, receive, state):
        self.asked, kept, again = (target, count, each), [state], True
        folder = folder.rename(self.folder / f"there-{self.starts}")
        module, _, function = target.partition(":")
        while again:
            self.starts, again = self.starts + 1, False
            store = dist.FileStore(str(self.folder / f"store-{self.starts}"), 1)
            dist.init_process_group("gloo", store=store, rank=0, world_size=1)
            try:
                getattr(import_module(module), function)(folder, kept[-1], partial(self.send, receive, kept))
            except ConnectionError:
                again = True
            finally:
                if dist.is_initialized():
                    dist.destroy_process_group()

    def send(self, receive, kept, message, *, keep=False):
        receive(message)
        if keep:
            kept.append(message)
            if len(kept) in self.stops:
                self.stops.remove(len(kept))
                raise ConnectionError


class Left(TableHandle):
    """A table in a file of the step's node, which other nodes do not have."""

    def to_bytes(self):
        raise AssertionError("the place of the rows is of no use elsewhere")


@pytest.mark.parametrize("memory", ["", "1kB"], ids=["in memory", "from files"])
def test_an_engines_launcher_trains_the_same_model_and_goes_on_at_the_last_checkpoint(tmp_path, memory):
    config = msgspec.structs.replace(PLAIN, network="mlp", checkpoint_every=2, memory=memory)
    task, table = training_task("binary", features=("number", "color")), training_rows(300)
    rows = Left(table.lazy(), 300, "digest")
    launcher = OneNode(tmp_path, stops=[3, 5])
    alone, far = Context.under(tmp_path, "alone"), Context.under(tmp_path, "far")
    far.launcher = launcher
    before = TorchTrainer(config).fit(task, rows, None, alone)
    after = TorchTrainer(msgspec.structs.replace(config, processes=2)).fit(task, rows, None, far)
    assert len(list((tmp_path / "there-0").glob("*.parquet"))) == (
        1 if memory else 0
    )  # rows held out are of the same table
    assert torch.equal(weights(before), weights(after))
    assert losses(far) == losses(alone)
    assert launcher.starts == 3
    assert launcher.asked == ("mlopsfw_trainer_torch.nodes:join", 2, Resources(cpus=1.0))
    assert [value for name, value, _ in far.metrics if name == "resumed_at_step"] == [4, 8]


def test_an_error_on_a_node_is_the_error_of_one_process(tmp_path):
    with pytest.raises(DataError, match="became nan in epoch"):
        fit(tmp_path, "nan", OneNode(tmp_path), processes=2, loss="nets:exploding", epochs=9)


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_two_processes_give_the_model_of_one_and_see_each_row_once_an_epoch(tmp_path):
    alone, before = fit(tmp_path, "alone")
    both, after = fit(tmp_path, "both", processes=2)
    assert torch.allclose(weights(alone), weights(both), atol=1e-3)
    assert losses(after) == pytest.approx(losses(before), abs=1e-5)
    assert len(losses(after)) == 4
    seen = notes(tmp_path, "both")
    assert set(seen) == {"0-0", "1-0"}
    steps = ROWS // 16
    for epoch in range(4):
        ids = [each for name in seen for step in seen[name][epoch * steps : (epoch + 1) * steps] for each in step]
        assert sum(ids) == ROWS * (ROWS - 1) // 2
        assert sorted(ids) == list(range(ROWS))


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.faults
def test_a_worker_that_is_killed_costs_nothing(tmp_path):
    whole, _ = fit(tmp_path, "whole", processes=2, params={"normalised": True})
    killed, context = fit(tmp_path, "killed", processes=2, params={"normalised": True, "dies_at": 15})
    assert set(notes(tmp_path, "killed")) == {"0-0", "1-0", "0-1", "1-1"}
    (resumed,) = (value for name, value, _ in context.metrics if name == "resumed_at_step")
    assert resumed >= 12
    assert torch.equal(weights(whole), weights(killed))


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_an_error_in_the_processes_is_the_error_of_one(tmp_path):
    with pytest.raises(DataError, match="became nan in epoch"):
        fit(tmp_path, "nan", processes=2, loss="nets:exploding", epochs=9)


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_a_module_that_always_dies_ends_with_the_log_named(tmp_path, monkeypatch):
    monkeypatch.setattr("mlopsfw_trainer_torch.launch._RESTARTS", 0)
    with pytest.raises(PluginError, match="a process of the training died") as caught:
        fit(tmp_path, "dead", processes=2, params={"dies_at": 3})
    assert "launcher.log" in caught.value.hint
