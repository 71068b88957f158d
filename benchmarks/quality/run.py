"""The quality table: measures the trainer `torch` and its peers on one half of the sets, cell by cell, and prints the ranks.

Run: export PYTHONPATH=benchmarks OMP_NUM_THREADS=1
     python benchmarks/quality/run.py DATA CELLS --half choose [--ours NAME:hidden=64,64;…] [--models linear,torch] [--seeds 5]
     python benchmarks/quality/run.py DATA CELLS --half claim --models search10 --seeds 1
     python benchmarks/quality/run.py DATA CELLS --half claim --table

DATA is the folder that `sets.py` wrote. CELLS is a file of JSON lines, one for each set, seed and model; cells that it has are not measured
again. `--ours` adds the trainer with other options than its defaults, under a name. Every model of a seed learns from the same 80% of the rows
and is asked about the same 20%; rows held out for stopping early come out of the 80%. A set that is split by time has its five test blocks
one after another in its last 40%.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from machine import machine_line
from peers import PEERS
from search import FACTS, SEARCH, searched
from sets import SETS, DataSet
from sklearn import model_selection
from table import markdown

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.evaluation import class_codes, evaluate
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.models import bundle
from mlopsfw.project.facade import Project
from mlopsfw.roles import TASK_OUTPUTS, TrainingTask
from mlopsfw.testing.trainer import Context
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.trainer import TorchTrainer

BLOCKS = 5
FIRST_TEST = 0.6  # of a time-ordered set


def split(each: DataSet, rows: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows to learn from and the rows to ask about."""
    if each.time is not None:
        ordered = rows.sort(each.time, maintain_order=True)
        cuts = np.linspace(FIRST_TEST, 1.0, BLOCKS + 1) * ordered.height
        begin, end = int(cuts[seed % BLOCKS]), int(cuts[seed % BLOCKS + 1])
        return ordered[:begin], ordered[begin:end]
    labels = None if each.task == "regression" else rows[each.target].to_numpy()
    kept, held = model_selection.train_test_split(
        np.arange(rows.height), test_size=0.2, random_state=seed, stratify=labels
    )
    return rows[np.sort(kept)], rows[np.sort(held)]


def ours(config: TorchConfig, each: DataSet, train: pl.DataFrame, test: pl.DataFrame, seed: int) -> tuple[Any, ...]:
    """Train, bundle, open and ask, through what a project uses; return outputs, classes, and the trainer's facts."""
    task = TrainingTask(task=each.task, target=each.target, seed=seed)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        trained = TorchTrainer(config).fit(task, TableHandle.of(train), None, Context.under(folder, "fit"))
        (folder / "project").mkdir()
        with Project(folder / "project", ProjectConfig(name="quality")) as project:
            runtimes = {"onnx": project.providers.runtime("onnx")}
            bundle.write(folder / "bundle", trained, task, TableHandle.of(train), runtimes)
            opened = bundle.open_bundle(folder / "bundle", runtimes.__getitem__)
            return opened.predict_table(test)[TASK_OUTPUTS[each.task]], trained.classes, trained.facts


def cell(each: DataSet, model: str, seed: int, data: Path, config: TorchConfig | None) -> dict[str, Any]:
    """Measure one model on one split of one set."""
    train, test = split(each, each.rows(data), seed)
    classes = tuple(train[each.target].unique().sort().to_list()) if each.task != "regression" else ()
    facts: dict[str, Any] = {}
    began = time.perf_counter()
    if config is not None:
        outputs, classes, facts = ours(config, each, train, test, seed)
    elif model.startswith(SEARCH):
        outputs, classes, facts = searched(each, train, test, seed, float(model.removeprefix(SEARCH)))
    else:
        outputs = PEERS[model](
            each.task, train.drop(each.target), _labels(train[each.target], classes), test.drop(each.target), seed
        )
    seconds = time.perf_counter() - began
    metrics = evaluate(each.task, _labels(test[each.target], classes), np.asarray(outputs, dtype=np.float64))
    return {
        "set": each.name, "half": each.half, "model": model, "seed": seed, "value": metrics[each.metric], "metrics": metrics,
        "seconds": round(seconds, 2), "train_rows": train.height, "steps": facts.get("steps"), "best_epoch": facts.get("best_epoch"),
        **{name: facts[name] for name in FACTS if name in facts},
    }  # fmt: skip


def _labels(target: pl.Series, classes: tuple[Any, ...]) -> np.ndarray:
    return class_codes(target, classes) if classes else target.cast(pl.Float64).to_numpy()


def read(file: Path) -> list[dict[str, Any]]:
    """Return the measured cells."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def measure(asked: argparse.Namespace, models: dict[str, TorchConfig | None]) -> None:
    """Measure every cell that the file lacks; seeds first, so that an interrupted grid is a smaller table."""
    done = {(each["set"], each["model"], each["seed"]) for each in read(asked.cells)}
    sets = [each for each in SETS if each.half == asked.half and (not asked.sets or each.name in asked.sets)]
    for seed in range(asked.seeds):
        for each in sets:
            for model, config in models.items():
                if (each.name, model, seed) in done:
                    continue
                line = json.dumps(cell(each, model, seed, asked.data, config))
                with asked.cells.open("a") as out:
                    out.write(line + "\n")


def main() -> None:
    """Measure what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--half", choices=("choose", "claim"), required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", default="linear,hist,lightgbm,xgboost,torch")
    parser.add_argument("--ours", action="append", default=[], metavar="NAME:option=value;…")
    parser.add_argument("--sets", type=lambda text: text.split(","), default=[])
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    models: dict[str, TorchConfig | None] = {}
    for name in filter(None, asked.models.split(",")):
        models[name] = TorchConfig() if name == "torch" else None
    for name, _, options in (each.partition(":") for each in asked.ours):
        wanted = dict(option.split("=", 1) for option in options.split(";"))
        models[name] = msgspec.convert({k: _value(v) for k, v in wanted.items()}, TorchConfig, strict=False)
    if asked.table:
        print(f"<!-- {machine_line()} -->\n{markdown(read(asked.cells), asked.half, list(models))}")
    else:
        measure(asked, models)


def _value(text: str) -> Any:
    return text.split(",") if "," in text else text


if __name__ == "__main__":
    main()
