"""What a search costs beside the trainings: a trial of ours, a cached child with a bundle for each fold, against Optuna alone.

Both make such trials: LightGBM with options of the same range on two folds. Ours, one at a time, are timed by the events of the run from the end of
the third trial to the end of the last, when processes run and libraries are imported. MLOPSFW_BENCH_FOLDER names where the project lies: in memory nothing waits for a disk.

Run: python -m pytest benchmarks/bench_search.py -s -o addopts=--import-mode=importlib
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import lightgbm
import numpy as np
import optuna
from sklearn.metrics import roc_auc_score

from mlopsfw.project.facade import Project

TRIALS, WARM, ROWS, ROUNDS = 25, 3, 1000, 10
LIMIT = 0.05  # seconds; without durability: in memory
CODE = f"""
import numpy as np, polars as pl
def rows():
    draw = np.random.default_rng(0)
    x = draw.normal(size=({ROWS}, 4))
    columns = {{name: x[:, at] for at, name in enumerate("abcd")}}
    return pl.DataFrame({{**columns, "y": (x[:, 0] + draw.normal(size={ROWS}) > 0).astype(int)}})
"""
TOML = f"""
[project]
name = "search"
[steps.rows]
python = "rows:rows"
[steps.fit]
use = "train"
inputs = {{ train = "rows" }}
task = "binary"
target = "y"
[steps.fit.tune]
trials = {TRIALS}
sampler = "random"
parallel = 1
folds = {{ folds = 2 }}
[trainer]
use = "lightgbm"
[trainer.lightgbm]
num_iterations = {ROUNDS}
holdout = 0.0
[steps.fit.tune.space]
"lightgbm.num_iterations" = {{ low = {ROUNDS}, high = {ROUNDS + 1} }}
"lightgbm.learning_rate" = {{ low = 0.01, high = 0.3 }}
"""


def ours(folder: Path) -> tuple[float, float]:
    """Return the seconds from the end of one trial to that of the next, and those of them that the worker took."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "rows.py").write_text(CODE)
    (folder / "mlopsfw.toml").write_text(TOML)
    subprocess.run([sys.executable, "-m", "mlopsfw", "run"], cwd=folder, check=True, capture_output=True)
    with Project.open(folder) as project:
        run = project.runs.ids()[0]
        ended = {}
        for event in project.ledger.stream(f"run/{run}").events():
            if event.type == "step.finished" and event.body["step"].startswith("fit["):
                ended[event.body["step"]] = datetime.fromisoformat(event.time), event.body["seconds"]
    assert len(ended) == TRIALS
    times, seconds = zip(*list(ended.values())[WARM:], strict=True)
    steps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    return median(steps), median(seconds)


def alone() -> float:
    """Return the seconds of Optuna with a function that trains and scores."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(int(ROWS * 0.8), 4))
    y = (x[:, 0] + draw.normal(size=len(x)) > 0).astype(int)
    folds = [np.arange(len(x)) % 2 == at for at in range(2)]

    def value(trial: optuna.Trial) -> float:
        options = {"objective": "binary", "verbosity": -1, "num_threads": 1}
        options |= {"learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3)}
        scores = []
        for fold in folds:
            booster = lightgbm.train(options, lightgbm.Dataset(x[~fold], y[~fold], params=options), ROUNDS)
            scores.append(roc_auc_score(y[fold], booster.predict(x[fold])))
        return float(np.mean(scores))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))
    study.optimize(value, n_trials=TRIALS)
    durations = [trial.duration.total_seconds() for trial in study.trials[WARM:]]
    return median(durations)


def test_a_trial_costs_at_most_50_ms_beside_its_trainings():
    folder = Path(os.environ.get("MLOPSFW_BENCH_FOLDER", tempfile.gettempdir())) / "bench-search"
    (own, worker), peer = ours(folder), alone()
    shutil.rmtree(folder)
    says = f"a trial {own * 1e3:.1f} ms, of which {worker * 1e3:.1f} in its worker; Optuna alone {peer * 1e3:.1f}"
    print(f"{says}; overhead {(own - peer) * 1e3:.1f} ms in {folder.parent}")
    assert own - peer <= LIMIT
