"""A user's module with rows that are read as they are needed: each once an epoch, the same bits after a kill, refusals before the first batch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from module_rows import everything
from safetensors.torch import load_file

from mlopsfw.data.tables import row_order
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.errors import DataError
from mlopsfw.features.size import room_of
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.testing.trainer import Context, Stopped, digests
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.module_trainer import ModuleTrainer

ROWS = 600
LISTS = [[1] * (3 if row < 200 else 5) for row in range(300)]
DRAW = np.random.default_rng(5)
VECTORS = pl.DataFrame(
    {
        "vector": DRAW.normal(0, 1, (ROWS, 4)).astype(np.float32),
        "number": np.arange(ROWS),
        "kind": DRAW.choice(["a", "b", "c"], ROWS),
    }
)
TASK = TrainingTask(task="multiclass", target="kind")
NETS = {"epochs": 3, "batch_size": 32, "learning_rate": 1e-2, "patience": 0, "checkpoint_every": 4, "memory": "1kB"}


@pytest.fixture(autouse=True)
def nets(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr(row_order, "BLOCK", 64)


@pytest.fixture
def unexported(monkeypatch):
    def export(*arguments):
        arguments[-1].write_bytes(b"")
        return 0.0

    monkeypatch.setattr("mlopsfw_trainer_torch.module_trainer.export_module", export)


def fit(tmp_path, name, rows=VECTORS, *, kept="", stop_at=0, task=TASK, table=None, **config):
    notes = tmp_path / f"{name}-notes"
    notes.mkdir()
    context = Context.under(tmp_path, name, kept, stop_at)
    if config.setdefault("module", "nets:Counted") == "nets:Counted":
        config["params"] = {"folder": str(notes), **config.get("params", {})}
    trainer = ModuleTrainer(TorchConfig(**{**NETS, **config}))
    return trainer.fit(task, table or TableHandle.of(rows), None, context), context


def epochs_of(tmp_path, name, rank="0"):
    """Return the ids that a process learned from, a list for each of three epochs."""
    lines = (tmp_path / f"{name}-notes" / f"{rank}-0").read_text().splitlines()
    steps = [[int(each) for each in line.split()] for line in lines]
    each = len(steps) // 3
    return [list(chain(*steps[at : at + each])) for at in range(0, len(steps), each)]


def weights(model):
    return torch.cat([each.reshape(-1) for _, each in sorted(load_file(model.files["weights.safetensors"]).items())])


def test_a_module_sees_each_row_once_an_epoch_in_another_order_each_time(tmp_path, unexported):
    model, context = fit(tmp_path, "fit")
    epochs = epochs_of(tmp_path, "fit")
    assert [sorted(each) for each in epochs] == [list(range(ROWS))] * 3
    assert epochs[0] != epochs[1]
    assert model.facts["streamed"] is True
    assert ("streamed_rows", ROWS, None) in context.metrics


@pytest.mark.parametrize("stop_at", [2, 3])
def test_stopped_and_resumed_a_module_has_the_very_same_weights(tmp_path, unexported, stop_at):
    options = {"transform": "nets:noisy_beside", "params": {"normalised": True}, "ema": 0.9}
    whole, _ = fit(tmp_path, "whole", **options)
    with pytest.raises(Stopped):
        fit(tmp_path, "stopped", kept="kept", stop_at=stop_at, **options)
    options["params"] = {"normalised": True, "folder": str(tmp_path / "stopped-notes")}
    resumed, context = fit(tmp_path, "resumed", kept="kept", **options)
    assert "resumed_at_step" in {name for name, _, _ in context.metrics}
    assert torch.equal(weights(whole), weights(resumed))


def test_what_a_module_reads_is_the_same_in_memory_and_from_files(tmp_path):
    task = TrainingTask(task="binary", target="label", weight="number")
    rows = everything(len(LISTS), LISTS).with_columns(number=pl.col("number").abs())
    problems = []
    for memory in ("1kB", "1GiB"):
        trainer = ModuleTrainer(TorchConfig(**{**NETS, "module": "nets:Everything", "memory": memory, "length": 12}))
        problems.append((trainer._prepare(task, TableHandle.of(rows), None), trainer._inputs, trainer._examples))
    (streamed, *learned), (whole, *expected) = problems
    assert learned == expected
    parts = list(streamed.train.in_order())
    for at, tensor in enumerate(whole.train.inputs):
        assert torch.equal(torch.cat([part.inputs[at] for part in parts]), tensor)
    assert torch.equal(torch.cat([part.weight for part in parts]), whole.train.weight)
    assert {each.name: each.type for each in streamed.inputs}["items"] == "list"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[0.0] * 4] * (ROWS - 1) + [None], "holds nulls"),
        ([[0.0] * 4] * (ROWS - 1) + [[float("nan")] * 4], "holds NaN or infinite values"),
        ([[[1.0], [1.0]]] * (ROWS - 200) + [[[1.0, 2.0], [1.0, 2.0]]] * 200, "of several shapes"),
        ([b"ab"] * (ROWS - 200) + [b"abc"] * 200, "of several"),
    ],
)
def test_a_column_that_is_no_tensor_in_the_last_rows_is_refused_before_the_first_step(tmp_path, column, message):
    with pytest.raises(DataError, match=message) as caught:
        fit(tmp_path, "fit", VECTORS.with_columns(vector=pl.Series(column)))
    assert "in a step before" in caught.value.hint
    assert not list((tmp_path / "fit-notes").iterdir())


def test_blocks_of_wide_rows_are_small_so_that_they_take_a_half_of_the_memory():
    images = pl.DataFrame({"image": np.zeros((20, 1 << 20), dtype=np.uint8)})
    room = room_of(TableHandle.of(images), ["image"], "4GiB")
    assert room.block == 64
    assert room.sample == 512
    assert room_of(TableHandle.of(VECTORS), VECTORS.columns, "4GiB").block == row_order.BLOCK


@pytest.mark.nightly
def test_a_module_that_is_streamed_makes_a_whole_model(tmp_path):
    rows = everything(len(LISTS), LISTS)
    task = TrainingTask(task="binary", target="label")
    options = {"module": "nets:Everything", "params": {"width": 3}, "length": 12, "epochs": 12, "patience": 3}
    model, _ = fit(tmp_path, "fit", rows, task=task, **options)
    assert model.facts["export_difference"] <= 1e-5
    assert model.metrics["holdout_accuracy"] > 0.9
    assert model.facts["held_out"] is True
    assert digests(model)["model.onnx"]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A table of many row groups, read in one block, as in processes that know no other size."""
    monkeypatch.setattr(row_order, "BLOCK", 1 << 16)
    VECTORS.write_parquet(tmp_path / "rows.parquet", row_group_size=100)
    return TableHandle(pl.scan_parquet(tmp_path / "rows.parquet"), ROWS, "digest")


def losses(context):
    return [value for name, value, _ in context.metrics if name == "train_loss"]


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("size", [32, ROWS])
def test_two_processes_read_a_shard_each_and_come_to_the_loss_of_one(tmp_path, file, size):
    _, alone = fit(tmp_path, "alone", table=file, batch_size=size, learning_rate=1e-3)
    _, both = fit(tmp_path, "both", table=file, batch_size=size, learning_rate=1e-3, processes=2)
    for first, second in zip(epochs_of(tmp_path, "both"), epochs_of(tmp_path, "both", "1"), strict=True):
        assert len(first) == len(second) == ROWS // 2
        assert sum(first) + sum(second) == ROWS * (ROWS - 1) // 2
        assert len({*first, *second}) == ROWS
    # A batch of all rows is the same batch; others are of the same size and of other rows.
    assert losses(both) == pytest.approx(losses(alone), abs=1e-5 if size == ROWS else 0.01)


@pytest.mark.nightly
@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_worker_that_is_killed_costs_nothing_of_a_streamed_training(tmp_path, file):
    options = {"table": file, "processes": 2, "checkpoint_every": 1, "module": "nets:Counted"}
    whole, _ = fit(tmp_path, "whole", params={"normalised": True}, **options)
    killed, context = fit(tmp_path, "killed", params={"normalised": True, "dies_at": 25}, **options)
    (resumed,) = (value for name, value, _ in context.metrics if name == "resumed_at_step")
    assert resumed >= 20
    assert torch.equal(weights(whole), weights(killed))


CHILD = """
import sys
from pathlib import Path
import polars as pl
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.roles import TrainingTask
from mlopsfw.testing.trainer import Context
from mlopsfw_trainer_torch import TorchConfig, build

file, notes, name = sys.argv[1:]
options = dict(epochs=3, batch_size=32, learning_rate=1e-2, patience=0, checkpoint_every=4, memory="1kB", transform="nets:noisy_beside")
trainer = build(TorchConfig(module="nets:Counted", params={"folder": notes, "normalised": True, "dies_at": 30}, **options), None)
context = Context.under(Path(file).parent, name, "kept" + notes[-5:])
model = trainer.fit(TrainingTask(task="multiclass", target="kind"), TableHandle(pl.scan_parquet(file), 600, "digest"), None, context)
print([value for name, value, _ in context.metrics if name == "resumed_at_step"], model.files["weights.safetensors"])
"""


@pytest.mark.nightly
@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_module_that_is_killed_goes_on_to_the_very_same_weights(tmp_path, file):
    def run(notes, name, rank):
        (tmp_path / notes).mkdir(exist_ok=True)
        command = [sys.executable, "-c", CHILD, str(tmp_path / "rows.parquet"), str(tmp_path / notes), name]
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "RANK": rank, "PYTHONPATH": path}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert run("notes-killed", "killed", "1").returncode == -signal.SIGKILL  # at the 30th batch
    (tmp_path / "notes-whole").mkdir()
    done = [run("notes-killed", "resumed", "1"), run("notes-whole", "whole", "0")]
    assert [each.returncode for each in done] == [0, 0], done
    assert done[0].stdout.startswith("[28.0]")
    resumed, whole = (load_file(each.stdout.split()[-1]) for each in done)
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())
