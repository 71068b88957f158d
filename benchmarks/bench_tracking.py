"""What tracking costs: a million numbers logged and read back, the page of a list of 10,000 runs, and autologging beside the same loop without it.

MLOPSFW_BENCH_FOLDER names where the project lies: in memory nothing waits for a disk.

Run: python -m pytest benchmarks/bench_tracking.py -s -o addopts=--import-mode=importlib
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

import mlopsfw
from mlopsfw.project.facade import Project

POINTS, RUNS, STEPS, ROUNDS = 1_000_000, int(os.environ.get("MLOPSFW_BENCH_RUNS", "10000")), 200, 15
PAGE, SHARE = 0.2, 0.02  # seconds; of the loop's time
LOG = f"""
import resource, sys, time
import mlopsfw
with mlopsfw.start_run("many", system_seconds=0) as run:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    for step in range({POINTS}):
        mlopsfw.log_metric("loss", step / 2, step)
    logged, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
print(logged, time.perf_counter() - began, (used - before) / 1024, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    place = Path(os.environ.get("MLOPSFW_BENCH_FOLDER", tempfile.gettempdir())) / "bench-tracking"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "mlopsfw.toml").write_text('[project]\nname = "bench"\n')
    yield place
    shutil.rmtree(place)


def test_a_million_numbers_are_logged_and_read_back(folder):
    said = subprocess.run([sys.executable, "-c", LOG], cwd=folder, check=True, capture_output=True, text=True).stdout
    logged, ended, while_logging, whole = map(float, said.split())
    with Project.open(folder) as project:
        size = sum(file.stat().st_size for file in (folder / ".mlopsfw" / "store").rglob("*") if file.is_file())
        began = time.perf_counter()
        metrics = project.runs.metrics("latest")
        read = time.perf_counter() - began
        assert [metric.number for metric in metrics] == [step / 2 for step in range(POINTS)]
    print(
        f"\n    {POINTS:,} numbers: logged in {logged:.2f} s ({POINTS / logged / 1e3:,.0f}/ms), the run ended in {ended:.2f} s, "
        f"read in {read:.2f} s; {size / POINTS:.1f} bytes each on disk; memory +{while_logging:.0f} MiB while logging, +{whole:.0f} at the end"
    )


def test_the_page_of_the_list_of_ten_thousand_runs_takes_a_fifth_of_a_second_from_the_index(folder):
    from mlopsfw.pipeline.run.runs_page import runs_page

    draw = random.Random(0)
    with Project.open(folder) as project:
        for number in range(RUNS):
            params = {
                "rate": draw.random(),
                "layers": number % 8,
                "optimizer": draw.choice(("adam", "sgd")),
                "batch": 128,
            }
            with mlopsfw.start_run("tuning", project=project, params=params) as run:
                run.log_metrics({"loss": draw.random(), "auc": draw.random()})
        with project.index.pinned():
            times = []
            for _ in range(7):
                began, processor = time.perf_counter(), time.thread_time()
                page = runs_page(project.runs.search(limit=RUNS))
                times.append((time.perf_counter() - began, time.thread_time() - processor))
    wall, processor = min(times)
    print(f"\n    page of {RUNS:,} runs: {wall:.3f} s, processor {processor:.3f} s, {len(page) / 1e6:.1f} MB")
    assert processor <= PAGE


def test_autologging_takes_at_most_two_hundredths_of_a_loop(folder):
    import torch

    from mlopsfw.pipeline.run.autolog.switch import _hooks

    torch.set_num_threads(1)
    layers = [
        torch.nn.Linear(64, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 1),
    ]
    net, rows, target = torch.nn.Sequential(*layers), torch.randn(128, 64), torch.randn(128, 1)
    optimizer = torch.optim.Adam(net.parameters())

    def loop(seconds: float = 0.0) -> float:
        began, steps = time.thread_time(), 0
        while steps < STEPS or time.thread_time() - began < seconds:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(net(rows), target).backward()
            optimizer.step()
            steps += 1
        return (time.thread_time() - began) / steps

    alone, watched = [], []
    with Project.open(folder) as project, mlopsfw.start_run("loop", project=project), mlopsfw.autolog():
        loop(5.0)  # spends what is free
        for _ in range(ROUNDS):
            _hooks.remove()
            alone.append(loop())
            _hooks.place()
            watched.append(loop())
    share = median(after / before for before, after in zip(alone, watched, strict=True)) - 1
    print(f"\n    a step {median(alone) * 1e6:.0f} microseconds, watched {median(watched) * 1e6:.0f}: {share:+.2%}")
    assert share <= SHARE
