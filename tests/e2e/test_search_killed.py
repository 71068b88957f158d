"""A search whose processes are killed goes on: the same trials, from the fold at which each was cut off, and no worker is left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlopsfw.project.facade import Project

pytest.importorskip("optuna")

ROWS = """
import time
import numpy as np, polars as pl
from sklearn.linear_model import LogisticRegression

def rows():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 2))
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": (x[:, 0] + draw.normal(size=300) > 0).astype(int)})

def slow(C=1.0):
    time.sleep(0.3)
    return LogisticRegression(C=C)
"""
TOML = """
[project]
name = "killed"
[steps.rows]
python = "rows:rows"
[steps.fit]
use = "train"
inputs = { train = "rows" }
task = "binary"
target = "y"
[steps.fit.tune]
trials = 5
parallel = 2
sampler = "random"
folds = { folds = 3 }
space = { "slow.params.C" = { low = 0.001, high = 100.0, log = true } }
[trainer.slow]
use = "sklearn"
factory = "rows:slow"
"""


def mlopsfw(root: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mlopsfw", *words], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def workers(root: Path) -> list[int]:
    """Return the processes that work in the project's folder."""
    processes = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == root:
                processes.append(int(link.parent.name))
        except OSError:
            continue
    return processes


def until(happens, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_is_ended_in_the_middle_of_a_trial_goes_on_there(tmp_path, number):
    root = tmp_path / "project"
    root.mkdir()
    (root / "rows.py").write_text(ROWS)
    (root / "mlopsfw.toml").write_text(TOML)
    command = subprocess.Popen([sys.executable, "-m", "mlopsfw", "run"], cwd=root, stdout=subprocess.DEVNULL)
    until(lambda: list(root.glob(".mlopsfw/runs/*/fit?[2-9]*/checkpoints-*/values.json")))
    os.kill(command.pid, number)
    command.wait(30)
    until(lambda: not workers(root))
    before = {trial["number"]: trial for trial in json.loads(mlopsfw(root, "runs", "trials", "latest", "--json"))}
    assert "running" in {trial["status"] for trial in before.values()}
    mlopsfw(root, "resume")
    after = {trial["number"]: trial for trial in json.loads(mlopsfw(root, "runs", "trials", "latest", "--json"))}
    assert len(after) == 5
    assert all(trial["status"] == "done" and len(trial["folds"]) == 3 for trial in after.values())
    assert all(after[each]["params"] == trial["params"] for each, trial in before.items())
    assert all(after[each] == trial for each, trial in before.items() if trial["status"] == "done")


def finished(root: Path) -> tuple[Counter[str], list[Any]]:
    """Return how often each trial of the only run ended, and what each tried and came to."""
    with Project.open(root) as project:
        run = project.runs.resolve("latest")
        report = project.values.load(project.runs.get(run).steps["fit"].outputs["search"])
        events = project.ledger.stream(f"run/{run}").events()
        ended = Counter(str(event.body["step"]) for event in events if event.type == "step.finished")
        return ended, [(trial["params"], trial["value"]) for trial in report["trials"]]


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_search_that_is_killed_at_random_moments_makes_each_trial_once_and_equals_one_that_is_not(tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.py").write_text(ROWS)
        (tmp_path / name / "mlopsfw.toml").write_text(TOML.replace("trials = 5", "trials = 8").replace("random", "tpe"))
    mlopsfw(tmp_path / "whole", "run")
    root, draw, kills = tmp_path / "killed", random.Random(0), 0
    while kills < 6:
        with Project.open(root) as project:
            verb = "resume" if project.runs.ids() else "run"
        command = subprocess.Popen([sys.executable, "-m", "mlopsfw", verb], cwd=root, stdout=subprocess.DEVNULL)
        try:
            command.wait(draw.uniform(2, 10))
            break
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait()
            kills += 1
    else:
        mlopsfw(root, "resume")
    assert kills
    assert finished(root) == finished(tmp_path / "whole")


KILLED = """
import os, signal
from pathlib import Path
import rows

def slow(C=1.0):
    with Path("killed").open("a") as file:
        file.write(f"{C} ")
    if C == 9.0 or Path("killed").read_text().split().count(f"{C}") == 1 and C == 2.0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rows.LogisticRegression(C=C)
"""


def test_a_trial_whose_process_is_lost_is_made_again_as_a_step_is_and_one_that_always_is_fails(tmp_path):
    (tmp_path / "rows.py").write_text(ROWS)
    (tmp_path / "deadly.py").write_text(KILLED)
    toml = TOML.replace("low = 0.001, high = 100.0, log = true", "choices = [1.0, 2.0, 9.0]").replace(
        '"random"', '"grid"'
    )
    toml = toml.replace("trials = 5\nparallel = 2", "trials = 3").replace("rows:slow", "deadly:slow")
    (tmp_path / "mlopsfw.toml").write_text(toml.replace("folds = { folds = 3 }", "folds = { folds = 2 }"))
    mlopsfw(tmp_path, "run")
    trials = json.loads(mlopsfw(tmp_path, "runs", "trials", "latest", "--json", "--all"))
    assert {trial["params"]["slow.params.C"]: trial["status"] for trial in trials} == {
        1.0: "done",
        2.0: "done",
        9.0: "failed",
    }
    steps = json.loads(mlopsfw(tmp_path, "runs", "show", "latest", "--json"))["steps"]
    attempts = [step["attempt"] for name, step in (steps.items() if isinstance(steps, dict) else []) if "[" in name]
    assert sorted(attempts) == [1, 2, 3]
