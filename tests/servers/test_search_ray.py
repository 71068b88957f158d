"""Training on a Ray cluster of two nodes that share no folder: the trials of a search, and the processes of one trainer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ray_project import outcome, run, start, steps_of, wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(600)]
LEARN = """
import os
import time
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression


def rows():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 2))
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": (x[:, 0] + draw.normal(size=300) > 0).astype(int)})


def slow(C, marks):
    (Path(marks) / f"{C}-{time.time_ns()}").write_text(os.environ.get("MLOPSFW_NODE", "local"))
    while not (Path(marks) / "go").exists():
        time.sleep(0.05)
    return LogisticRegression(C=C)
"""
FIT = """
[steps.rows]
python = "learn:rows"
[steps.fit]
use = "train"
inputs = { rows_ = "rows" }
task = "binary"
target = "y"
"""


def learning(root: Path, fit: str) -> None:
    head = (root / "mlopsfw.toml").read_text().partition("[steps.rows]")[0]
    (root / "mlopsfw.toml").write_text(head + FIT.replace("rows_", "train") + fit)
    (root / "learn.py").write_text(LEARN)


def test_trials_of_a_search_are_spread_over_the_nodes_and_a_lost_node_costs_one_trial(root, tmp_path, losable):
    marks = tmp_path / "marks"
    learning(
        root,
        f"""
[steps.fit.tune]
trials = 4
sampler = "grid"
folds = {{ folds = 2 }}
space = {{ "slow.params.C" = {{ choices = [1.0, 2.0, 3.0, 4.0] }} }}
[trainer.slow]
use = "sklearn"
factory = "learn:slow"
params = {{ C = 1.0, marks = "{marks}" }}
""",
    )
    process = start(root, "--env", "cluster", "run")
    holding = wait_for(marks, 2)
    assert len(set(holding.values())) == 2  # the step lends its cores while it waits for its trials
    losable.nodes[1].kill()
    (marks / "go").touch()
    far = outcome(process, 180)
    steps = steps_of(root)
    trials = [steps[f"fit[{number}]"] for number in range(4)]
    assert {trial["status"] for trial in trials} == {"done"}
    assert sorted(trial["attempt"] for trial in trials) == [1, 1, 1, 2]
    assert steps["fit"]["attempt"] == 1
    near = run(root, "run", "--force")
    assert {steps_of(root)[f"fit[{number}]"]["status"] for number in range(4)} == {"cached"}
    assert near["outputs"]["fit"]["search"] == far["outputs"]["fit"]["search"]


def test_processes_of_a_trainer_share_its_batches_on_both_nodes(root):
    pytest.importorskip("pandas", reason="the extra ray-train is not installed")
    learning(
        root,
        """
[trainer.torch]
network = "mlp"
epochs = 2
dropout = 0.0
processes = 2
""",
    )
    losses = []
    for words in (["--env", "cluster"], ["--set", "trainer.torch.processes=1"]):
        run(root, *words, "run", "--force")
        command = [sys.executable, "-m", "mlopsfw", "--project", str(root), "runs", "metrics", "latest", "--json"]
        metrics = json.loads(subprocess.check_output([*command, "--name", "train_loss"], text=True))
        losses.append([metric["value"] for metric in metrics])
    assert len(losses[0]) == 2
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
