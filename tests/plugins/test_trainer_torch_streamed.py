"""The trainer `torch` with rows that are read as they are needed: it learns the same, resumes to the same bits, and says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
import torch
from thread_peers import run_side_by_side, two_peers

from mlopsfw.data.tables import row_order
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.errors import DataError
from mlopsfw.testing.trainer import Context, Stopped, TrainerConformance, digests, training_rows, training_task
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.device import repeatable
from mlopsfw_trainer_torch.streamed import Order, Streamed
from mlopsfw_trainer_torch.trainer import TorchTrainer

CPU = torch.device("cpu")
QUICK = TorchConfig(
    epochs=6, batch_size=64, learning_rate=5e-3, hidden=(32,), members=4, memory="1kB", checkpoint_every=3
)
NUMBERED = training_task("binary", features=("number", "color"), exclude=(), weight="id")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(row_order, "BLOCK", 128)


@pytest.mark.nightly
class TestConformance(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return TorchTrainer(QUICK)


def fit(tmp_path, name, rows, kept="", stop_at=0, *, task=None, **config):
    context = Context.under(tmp_path, name, kept, stop_at)
    trainer = TorchTrainer(msgspec.structs.replace(QUICK, **config))
    return trainer.fit(task or training_task("binary"), TableHandle.of(rows), None, context), context


def test_it_streams_where_the_rows_do_not_fit_and_says_so(tmp_path):
    rows = training_rows(900)
    streamed, context = fit(tmp_path, "streamed", rows)
    whole, silent = fit(tmp_path, "whole", rows, memory="1GiB")
    assert (streamed.facts["streamed"], whole.facts["streamed"]) == (True, False)
    assert ("streamed_rows", streamed.facts["rows"], None) in context.metrics
    assert "streamed_rows" not in {name for name, _, _ in silent.metrics}
    assert streamed.facts["rows"] + streamed.facts["validation_rows"] == 900
    assert streamed.metrics["holdout_auc"] == pytest.approx(whole.metrics["holdout_auc"], abs=0.05)
    assert streamed.facts["export_difference"] <= 1e-5


def prepared(rows, **config):
    trainer = TorchTrainer(msgspec.structs.replace(QUICK, **config))
    return trainer, trainer._prepare(
        NUMBERED, TableHandle.of(rows.with_columns(id=pl.int_range(1, pl.len() + 1))), None
    )


@pytest.mark.parametrize(("size", "count"), [(64, 1), (7, 1), (64, 2), (1000, 1), (233, 1)])
def test_batches_have_each_row_once_an_epoch_and_those_that_are_left_after_a_stop(size, count):
    _, problem = prepared(training_rows(700), holdout=0.0)
    own = len(problem.train) // count
    orders = [Order(3, 1, size, max(1, -(-(own - 1) // size)), (rank, count)) for rank in range(count)]
    epochs = [list(problem.train.batches(order, 0)) for order in orders]
    weights = torch.cat([rows.weight for batches in epochs for rows in batches])
    assert float(weights.double().sum()) == 700 * 701 // 2
    assert len(weights.unique()) == 700
    assert {len(rows) for rows in epochs[0][:-1]} <= {size}
    left = list(problem.train.batches(orders[0], 2))
    assert all(torch.equal(a.inputs[0], b.inputs[0]) for a, b in zip(left, epochs[0][2:], strict=True))


def test_batches_are_encoded_as_rows_in_memory_are():
    rows = training_rows(500)
    _, streamed = prepared(rows, holdout=0.0, class_weights="balanced")
    _, whole = prepared(rows, holdout=0.0, memory="1GiB")
    (codes, numeric), of_class = reversed(whole.train.inputs), streamed.train.encoder.of_class
    parts = list(streamed.train.in_order())
    assert torch.allclose(torch.cat([part.inputs[0] for part in parts]), numeric, atol=1e-6)
    assert torch.equal(torch.cat([part.inputs[1] for part in parts]), codes)
    totals = [sum(float(p.weight[p.target[:, 0] == code].sum()) for p in parts) for code in (0.0, 1.0)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-4)
    assert len(of_class) == 2


@pytest.mark.parametrize("stop_at", [3, 5])
def test_stopped_and_resumed_it_gives_the_very_same_model(tmp_path, stop_at):
    rows = training_rows(900)
    whole, _ = fit(tmp_path, "whole", rows, ema=0.9, clip=1.0)
    with pytest.raises(Stopped):
        fit(tmp_path, "stopped", rows, "kept", stop_at, ema=0.9, clip=1.0)
    resumed, context = fit(tmp_path, "resumed", rows, "kept", ema=0.9, clip=1.0)
    assert any(name == "resumed_at_step" for name, _, _ in context.metrics)
    assert digests(resumed) == digests(whole)
    assert resumed.metrics == whole.metrics


def test_a_value_that_cannot_be_learned_from_is_the_same_error_as_in_memory(tmp_path):
    rows = training_rows(700).with_columns(
        regression=pl.when(pl.int_range(pl.len()) == 650).then(np.inf).otherwise("regression")
    )
    for memory in ("1kB", "1GiB"):
        with pytest.raises(DataError, match="the target 'regression' holds infinite values"):
            fit(tmp_path, memory, rows, task=training_task("regression"), memory=memory)


def test_two_peers_read_a_shard_each_and_agree(tmp_path):
    trainer, problem = prepared(training_rows(601), dropout=0.0, epochs=3, checkpoint_every=0)
    with repeatable(3, 1, CPU):
        state, made = torch.get_rng_state(), []
        for peers in two_peers():
            torch.set_rng_state(state)
            made.append(trainer.training(problem, NUMBERED, CPU, mixed=False, peers=peers))
        run_side_by_side(made, tmp_path)
    first, second = made
    assert first.progress.history == second.progress.history
    assert len(first.progress.history) == 3
    assert all(
        torch.equal(value, second.network.state_dict()[name]) for name, value in first.network.state_dict().items()
    )


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_two_processes_read_the_files_and_learn_as_one_does(tmp_path, monkeypatch):
    monkeypatch.setattr(row_order, "BLOCK", 1 << 16)  # as in the processes
    training_rows(2000).write_parquet(tmp_path / "rows.parquet", row_group_size=300)
    models = []
    for name, processes in (("alone", 1), ("both", 2)):
        table = TableHandle(pl.scan_parquet(tmp_path / "rows.parquet"), 2000, "digest")
        trainer = TorchTrainer(msgspec.structs.replace(QUICK, processes=processes))
        models.append(trainer.fit(training_task("binary"), table, None, Context.under(tmp_path, name)))
    folder = tmp_path / "both" / "scratch" / "processes"
    assert (folder / "rows.safetensors").stat().st_size < 100
    assert (folder / "train.handle").stat().st_size < 10_000
    assert models[1].metrics["holdout_auc"] == pytest.approx(models[0].metrics["holdout_auc"], abs=0.05)


CHILD = """
import sys
from pathlib import Path
import polars as pl
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.roles import TrainingTask
from mlopsfw.testing.trainer import Context
from mlopsfw_trainer_torch import TorchConfig, build

def held(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(what))

file, rows, memory, folder, module = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), sys.argv[5]
config = TorchConfig(network="mlp", hidden=(8,), epochs=1, batch_size=16384 >> 2 * bool(module), memory=memory, module=module, length=200)
trainer = build(config, None)
table, before = TableHandle(pl.scan_parquet(file), rows, ""), held("VmRSS")
trainer.fit(TrainingTask(task="binary", target="y"), table, None, Context.under(folder, str(rows)))
print(held("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file of four million rows, and one of the first million, ten numbers each."""
    folder = tmp_path_factory.mktemp("large")
    row = pl.int_range(4_000_000, eager=False)
    numbers = {f"n{n}": (row * (n + 3) % 97).cast(pl.Float64) for n in range(10)}
    frame = pl.select(**numbers, y=row % 2 == 0)
    for rows in (1_000_000, 4_000_000):
        frame[:rows].write_parquet(folder / f"{rows}.parquet", row_group_size=100_000)
    return folder


@pytest.fixture(scope="module")
def long_texts(tmp_path_factory):
    """A file of a million rows, each with a text of 200 characters of its own, and one of three million."""
    folder = tmp_path_factory.mktemp("texts")
    row = pl.int_range(1_000_000, eager=False)
    text = pl.concat_str([(row + 1_000_000 * n).hash().cast(pl.String).str.zfill(20) for n in range(10)])
    frame = pl.select(text=text, y=row % 2 == 0)
    frame.write_parquet(folder / "1000000.parquet", row_group_size=100_000)
    pl.concat([frame.lazy()] * 3).sink_parquet(folder / "3000000.parquet", row_group_size=100_000)
    return folder


def peak(large, rows, memory, module=""):
    """Return by how many MiB the memory of a training grows."""
    folder = large / f"{memory}-{module.partition(':')[2]}"
    command = [sys.executable, "-c", CHILD, str(large / f"{rows}.parquet"), str(rows), memory, str(folder), module]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_four_times_the_rows_take_the_same_memory(large):
    million, millions = (peak(large, rows, "1kB") for rows in (1_000_000, 4_000_000))
    assert millions < million + 100
    assert millions < 600
    assert peak(large, 1_000_000, "100GiB") > 2 * million  # in memory a quarter of the rows takes more


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("module", ["", "nets:Letters"])
def test_three_times_the_rows_of_long_texts_take_the_same_memory(long_texts, module):
    million, millions = (peak(long_texts, rows, "1kB", module) for rows in (1_000_000, 3_000_000))
    assert millions < million + 100
    assert millions < 500  # the texts alone take 200 and 600


def test_rows_in_memory_and_streamed_are_told_apart_by_their_checkpoints(tmp_path):
    rows = training_rows(400)
    fit(tmp_path, "streamed", rows, "kept")
    _, context = fit(tmp_path, "whole", rows, "kept", memory="1GiB")
    assert "resumed_at_step" not in {name for name, _, _ in context.metrics}


def test_problems_that_stream_hold_no_rows():
    _, problem = prepared(training_rows(700))
    assert isinstance(problem.train, Streamed)
    assert isinstance(problem.valid, Streamed)
