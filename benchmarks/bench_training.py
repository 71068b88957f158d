"""Training speed, samples a second: ours with its checkpoints, against a hand-written torch loop and a DataLoader loop.

All three train the same network on the same rows in the same order, and must come to the same weights bit for bit. The last one compares rows
that are read from a Parquet file with rows in memory.

A DataLoader takes rows from the Dataset one by one and collates them, which costs the same for every network. So the ratio to its loop depends on the
network: no loop can be five times as fast where a step takes more than a quarter of what the loader takes. The benchmark prints both.

Run: python -m pytest benchmarks/bench_training.py -s -o addopts=--import-mode=importlib
"""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.roles import TrainingTask
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.checkpoint import Checkpoints
from mlopsfw_trainer_torch.device import repeatable
from mlopsfw_trainer_torch.loop import Training
from mlopsfw_trainer_torch.network import TabularNetwork
from mlopsfw_trainer_torch.rows import Rows
from mlopsfw_trainer_torch.schedule import schedule_of
from mlopsfw_trainer_torch.streamed import Streamed
from mlopsfw_trainer_torch.trainer import TorchTrainer

ROWS, COUNTS, WIDTH = 100_000, (20, 100, 4096), 40
CONFIG = TorchConfig(network="mlp", epochs=2, hidden=(128, 64), batch_size=1024, dropout=0.2)
SCHEDULE = schedule_of(CONFIG, ROWS)
SILENT = SimpleNamespace(log_metric=lambda *_: None, progress=lambda *_: None)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rows():
    draw = torch.Generator().manual_seed(0)
    numeric = torch.randn(ROWS, WIDTH, generator=draw)
    codes = torch.stack([torch.randint(0, n, (ROWS,), generator=draw) for n in COUNTS], dim=1)
    target = (numeric[:, :1] + codes[:, :1] / 10 > 1).float()
    return Rows((numeric, codes), target, None)


def network():
    return TabularNetwork(
        numeric=WIDTH,
        code_counts=COUNTS,
        embedding=CONFIG.embedding,
        hidden=CONFIG.hidden,
        dropout=CONFIG.dropout,
        outputs=1,
    )


def ours(rows, folder):
    with repeatable(1, CONFIG.threads, CPU):
        training = Training(network(), rows, None, "binary", CONFIG, schedule=SCHEDULE, seed=1, mixed=False)
        start = time.perf_counter()
        training.run(SILENT, Checkpoints(folder, "bench"))
        return training.network.state_dict(), time.perf_counter() - start


def rates(batches):
    """The learning rate of each step: a short rise, then a cosine."""
    total = CONFIG.epochs * batches
    warm = max(1, int(total * 0.05))
    for step in range(total):
        rise = (step + 1) / warm
        yield CONFIG.learning_rate * (
            rise if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
        )


def step(model, optimizer, rate, numeric, codes, target):  # noqa: PLR0917 - three of them are one batch
    optimizer.param_groups[0]["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    binary_cross_entropy_with_logits(model(numeric, codes), target).backward()
    optimizer.step()


def by_hand(rows, _folder):
    with repeatable(1, CONFIG.threads, CPU):
        model = network()
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=CONFIG.learning_rate, weight_decay=CONFIG.weight_decay, fused=True
        )
        sampler, rate = torch.Generator().manual_seed(1), rates(math.ceil(ROWS / CONFIG.batch_size))
        start = time.perf_counter()
        model.train()
        for _ in range(CONFIG.epochs):
            order = torch.randperm(ROWS, generator=sampler)
            for at in range(0, ROWS, CONFIG.batch_size):
                index = order[at : at + CONFIG.batch_size]
                step(model, optimizer, next(rate), rows.inputs[0][index], rows.inputs[1][index], rows.target[index])
        return model.state_dict(), time.perf_counter() - start


class Order:
    """Draws an epoch's order as the others do."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(1)

    def __iter__(self):
        return iter(torch.randperm(ROWS, generator=self.generator).tolist())

    def __len__(self):
        return ROWS


def loader_of(rows):
    """Return a DataLoader over a Dataset of rows, with its default collation."""
    dataset = TensorDataset(rows.inputs[0], rows.inputs[1], rows.target)
    return DataLoader(dataset, batch_size=CONFIG.batch_size, sampler=Order(), generator=torch.Generator())


def by_loader(rows, _folder):
    with repeatable(1, CONFIG.threads, CPU):
        model = network()
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=CONFIG.learning_rate, weight_decay=CONFIG.weight_decay, fused=True
        )
        loader = loader_of(rows)
        rate = rates(math.ceil(ROWS / CONFIG.batch_size))
        start = time.perf_counter()
        model.train()
        for _ in range(CONFIG.epochs):
            for numeric, codes, target in loader:
                step(model, optimizer, next(rate), numeric, codes, target)
        return model.state_dict(), time.perf_counter() - start


@pytest.mark.parametrize(
    ("peer", "target"), [(by_hand, 0.95), (by_loader, 5.0)], ids=["hand-written loop", "DataLoader loop"]
)
def test_samples_a_second(benchmark, rows, tmp_path, peer, target):
    times = {ours: [], peer: []}
    for turn in range(5):
        weights = {}
        for each, found in times.items():
            weights[each], seconds = each(rows, tmp_path / str(turn))
            found.append(seconds)
        assert all(torch.equal(value, weights[peer][name]) for name, value in weights[ours].items())
    benchmark.pedantic(lambda: ours(rows, tmp_path / "last"), rounds=1)
    best = {each: CONFIG.epochs * ROWS / min(found) for each, found in times.items()}
    ratio = best[ours] / best[peer]
    benchmark.extra_info["ratio"] = ratio
    print(f"\n{best[ours]:,.0f} samples/s against {best[peer]:,.0f}: {ratio:.2f} x (target {target} x)")


def test_what_a_loader_costs_beside_a_step(benchmark, rows, tmp_path):
    """Compare processor time, which other programs lengthen less than the clock's."""
    seconds = {"the loader": [], "our whole step": []}
    for name, work in 3 * (
        ("the loader", lambda: [None for _ in loader_of(rows)]),
        ("our whole step", lambda: ours(rows, tmp_path / str(time.process_time()))),
    ):
        start = time.process_time()
        work()
        seconds[name].append(time.process_time() - start)
    loader, step = min(seconds["the loader"]), min(seconds["our whole step"]) / CONFIG.epochs
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info["ratio"] = bound = 1 + loader / step
    print(
        f"\na loader takes {1e6 * loader / ROWS:.1f} µs a row, our whole step {1e6 * step / ROWS:.1f} µs: "
        f"about {bound:.1f} x a DataLoader loop on this network"
    )


def large_table(folder, rows):
    """Return rows of twenty numbers and two categories, in a file."""
    draw = np.random.default_rng(0)
    columns = {f"x{n}": draw.normal(size=rows) for n in range(20)}
    columns |= {"c": draw.choice(["a", "b", "c"], rows), "d": draw.integers(0, 500, rows).astype(str)}
    path = folder / "rows.parquet"
    pl.DataFrame(columns).with_columns(y=pl.col("x0") + pl.col("x1") > 0).write_parquet(path, row_group_size=1 << 17)
    return TableHandle(pl.scan_parquet(path), rows, "digest")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("network", "rows"), [("mlp", 1_000_000), ("tabm", 300_000)])
def test_rows_read_from_a_file_are_learned_as_fast_as_rows_in_memory(benchmark, tmp_path, network, rows):
    file = large_table(tmp_path, rows)
    task = TrainingTask(task="binary", target="y")
    trainers = {
        memory: TorchTrainer(TorchConfig(network=network, epochs=1, holdout=0.0, batch_size=1024, memory=memory))
        for memory in ("100GiB", "1kB")
    }
    problems = {memory: trainer._prepare(task, file, None) for memory, trainer in trainers.items()}
    assert [isinstance(each.train, Streamed) for each in problems.values()] == [False, True]
    seconds, computing = ({memory: [] for memory in trainers} for _ in range(2))
    for turn in range(3):
        for memory, trainer in trainers.items():
            with repeatable(1, 1, CPU):
                training = trainer.training(problems[memory], task, CPU, mixed=False)
                start, of_thread = time.perf_counter(), time.thread_time()
                training.run(SILENT, Checkpoints(tmp_path / f"{memory}-{turn}", "bench"))
                seconds[memory].append(time.perf_counter() - start)
                computing[memory].append(time.thread_time() - of_thread)
    benchmark.pedantic(lambda: None, rounds=1)
    whole, streamed = (file.rows / min(each) for each in seconds.values())
    alone = min(computing["100GiB"]) / min(computing["1kB"])  # as fast as it is where a core is free for reading
    benchmark.extra_info["ratio"] = streamed / whole
    print(
        f"\n{network}: {streamed:,.0f} samples/s streamed, {whole:,.0f} in memory: {streamed / whole:.2f} x (target 0.9 x); "
        f"{alone:.2f} x by the processor time of the training's own thread"
    )
