"""The search of the quality table: a project in a temporary folder whose step `fit` lets four trainers compete, run as a user runs it.

The rows to learn from are all that the project has. The search makes its folds and its hold-out of them, and the winner learns from all of
them. The rows that judge are asked by the bundle that the run leaves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.project.facade import Project
from mlopsfw.roles import TASK_OUTPUTS

if TYPE_CHECKING:
    import polars as pl
    from sets import DataSet

SEARCH = "search"
"""A model of this name, with the minutes of its budget after it, such as `search2`."""
FACTS = ("counts", "best", "unseen", "trials", "load")
TRAINERS = ("boosted", "xgb", "line", "torch")
_PROJECT = """
[project]
name = "quality"
[trainer.torch]
use = "torch"
[trainer.boosted]
use = "lightgbm"
[trainer.xgb]
use = "xgboost"
[trainer.line]
use = "sklearn"
factory = "line:{line}"
[steps.rows]
python = "line:rows"
[steps.fit]
use = "train"
inputs = {{ train = "rows" }}
task = "{task}"
target = "{target}"
seed = {seed}
{time}
[steps.fit.tune]
trainers = {trainers}
minutes = {minutes}
metric = "{metric}"
parallel = 1
[steps.fit.tune.space]
"line.params.strength" = {{ low = 1e-3, high = 1e3, log = true }}
"""
_LINE = """
from datetime import datetime
from pathlib import Path
import polars as pl
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
ROWS = Path(__file__).parent / "train.parquet"
def rows():
    frame = pl.read_parquet(ROWS)
    if not TIME:
        return frame
    return frame.with_columns(event_time=pl.lit(datetime(2000, 1, 1)) + pl.duration(seconds=pl.int_range(pl.len())))
def _columns():
    frame = rows().drop(TARGET, "event_time", strict=False)
    texts = [name for name in frame.columns if frame[name].dtype == pl.String]
    numbers = [name for name in frame.columns if name not in texts]
    numeric = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    return make_column_transformer((OneHotEncoder(handle_unknown="ignore"), texts), (numeric, numbers))
def classes(strength=1.0):
    return make_pipeline(_columns(), LogisticRegression(C=strength, max_iter=1000))
def numbers(strength=1.0):
    return make_pipeline(_columns(), Ridge(alpha=1 / strength))
"""


def searched(
    each: DataSet, train: pl.DataFrame, test: pl.DataFrame, seed: int, minutes: float
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Search, and ask the winner; return its outputs, its classes, and what the report of the search says."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_project(folder, each, train, seed, minutes)
        done = subprocess.run(
            [sys.executable, "-m", "mlopsfw", "run"], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{each.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        with Project.open(folder) as project:
            outputs = project.runs.get("latest").steps["fit"].outputs
            report = project.values.load(outputs["search"])
            bundle = project.bundles.open(project.values.load(outputs["model"]))
            answers = bundle.predict_table(test)[TASK_OUTPUTS[each.task]]
            return answers, bundle.manifest.classes, _facts(report)


def _facts(report: dict[str, Any]) -> dict[str, Any]:
    """Return what a cell keeps of a search: enough to see where its time went."""
    trials = [(trial["params"]["trainer"], trial["status"], trial["value"]) for trial in report["trials"]]
    return {
        "counts": report["counts"],
        "best": report["best"],
        "unseen": (report["holdout"] or {}).get("value"),
        "trials": trials,
        "load": round(os.getloadavg()[0], 1),
    }


def write_project(folder: Path, each: DataSet, train: pl.DataFrame, seed: int, minutes: float) -> None:
    """Write the project of one search."""
    train.write_parquet(folder / "train.parquet")
    (folder / "line.py").write_text(f"TARGET, TIME = {each.target!r}, {each.time!r}\n{_LINE}")
    toml = _PROJECT.format(
        line="numbers" if each.task == "regression" else "classes", task=each.task, target=each.target, seed=seed,
        time='time = "event_time"' if each.time else "", trainers=json.dumps(TRAINERS), minutes=minutes, metric=each.metric,
    )  # fmt: skip
    (folder / "mlopsfw.toml").write_text(toml)
