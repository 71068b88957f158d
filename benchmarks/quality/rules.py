"""What a search by time should compare trials by: rules over the values of expanding folds, judged on the rows that come after all of them.

Each configuration of four trainers learns on five expanding folds of the first 80% of the rows to learn from, and at last on all of them; the
rows that are asked about come later. A rule makes one number of the values of the folds. Its regret is how much worse the configuration is
that it picks than the best of those it picks from, as a share of the distance from the best to the median; the mean of 400 draws of half of them.

Run: PYTHONPATH=benchmarks:benchmarks/quality OMP_NUM_THREADS=1 python benchmarks/quality/rules.py DATA CELLS
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from run import read, split
from search import write_project
from sets import SETS, DataSet

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.project.facade import Project
from mlopsfw.roles import TrainingTask
from mlopsfw.steps.search_checks import flat
from mlopsfw.testing.trainer import Context
from mlopsfw.training.crossfit import Subject, fit_rows, judged_by
from mlopsfw.training.folds import Folds, make_folds
from mlopsfw.training.search.settings import Tune
from mlopsfw.training.search.space import Space
from mlopsfw.training.search.study import Study

COUNTS = {"boosted": 4, "xgb": 3, "line": 2, "torch": 2}
BLOCKS = (4, 1)
FOLDS = 5
RULES = {
    "mean": [1, 1, 1, 1, 1],
    "weighted by rows": [1, 2, 3, 4, 5],
    "last three": [0, 0, 1, 1, 1],
    "last two": [0, 0, 0, 1, 1],
    "last": [0, 0, 0, 0, 1],
}


def configurations(project: Project, trainer: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the options of the file, then random ones from what the trainer suggests."""
    _, record = project.providers.trainer_options(trainer, {})
    space = getattr(record, "search_space", None) or {"params.strength": {"low": 1e-3, "high": 1e3, "log": True}}
    searched = Space.of({trainer: space}, {}, starts={trainer: flat(msgspec.to_builtins(record))})
    study = Study(searched, Tune(trials=99, sampler="random"), maximize=[True], seed=seed)
    for number in range(COUNTS[trainer]):
        params = study.propose(number) or {}
        yield {name.partition(".")[2]: value for name, value in params.items() if name != "trainer"}


def measure(each: DataSet, data: Path, block: int) -> Iterator[dict[str, Any]]:
    """Yield a cell for each configuration: the values of the folds, and that of the rows after them."""
    train, test = split(each, each.rows(data), block)
    seconds = pl.duration(seconds=pl.int_range(pl.len()))
    both = pl.concat([train, test]).with_columns(event_time=pl.lit(datetime(2000, 1, 1)) + seconds)  # noqa: DTZ001 - an order
    task = TrainingTask(task=each.task, target=each.target, time="event_time", seed=block)
    subject = Subject.of(TableHandle.of(both), task)
    folds = make_folds(subject.frame([each.target, "event_time"])[: int(train.height * 0.8)], Folds(folds=FOLDS), task)
    judged = [*folds, (np.arange(train.height), np.arange(train.height, both.height))]
    with tempfile.TemporaryDirectory() as made, Project.open(_project(Path(made), each, train, block)) as project:
        for trainer in COUNTS:
            for number, options in enumerate(configurations(project, trainer, block)):
                values = []
                for at, (rows, later) in enumerate(judged):
                    context = Context.under(Path(made), f"{trainer}{number}-{at}")
                    model = fit_rows(
                        subject, rows, "fit", trainer=project.providers.trainer(trainer, options), bundles=project.bundles, context=context
                    )  # fmt: skip
                    values.append(judged_by(subject, model, later).mean(project.metrics, each.task)[each.metric])
                yield {"set": each.name, "block": block, "trainer": trainer, "metric": each.metric, "values": values}


def _project(folder: Path, each: DataSet, train: pl.DataFrame, block: int) -> Path:
    write_project(folder, each, train, block, 1)
    sys.path.insert(0, str(folder))
    sys.modules.pop("line", None)  # that of the set before
    return folder


def regret(values: np.ndarray, weights: list[int]) -> float:
    """Return the mean regret of a rule. `values` is float64 [configurations, folds + 1], more is better; the last is of the rows after the folds."""
    scores, draw, last = values[:, :-1] @ np.array(weights), random.Random(0), values[:, -1]
    lost = []
    for _ in range(400):
        some = draw.sample(range(len(values)), max(3, len(values) // 2))
        lost.append(last[some].max() - last[max(some, key=scores.__getitem__)])
    return float(np.mean(lost) / (last.max() - np.median(last)))


def main(data: Path, cells: Path) -> None:
    """Measure what is missing, and print the regrets."""
    done = {(cell["set"], cell["block"]) for cell in read(cells)}
    for block in BLOCKS:
        for each in SETS:
            if each.half == "choose" and each.time and (each.name, block) not in done:
                made = list(measure(each, data, block))
                with cells.open("a") as out:
                    out.writelines(json.dumps(cell) + "\n" for cell in made)
    groups = defaultdict(list)
    for cell in read(cells):
        sign = -1 if cell["metric"] == "rmse" else 1
        groups[cell["set"], cell["block"]].append([sign * value for value in cell["values"]])
    print(f"| rule | {' | '.join(f'{name}, block {block}' for name, block in groups)} | mean |")
    print("|---" * (len(groups) + 2) + "|")
    for rule, weights in RULES.items():
        regrets = [regret(np.array(values), weights) for values in groups.values()]
        print(f"| {rule} | {' | '.join(f'{each:.2f}' for each in regrets)} | {np.mean(regrets):.2f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
