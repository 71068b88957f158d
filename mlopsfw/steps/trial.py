"""One trial of a search: the proposed trainer on each fold of the rows that the search sees."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlopsfw.kernel.roles.training import TrainingData
from mlopsfw.pipeline.run.child import GIVEN
from mlopsfw.training.search.settings import is_measure
from mlopsfw.training.search.space import Proposal
from mlopsfw.training.search.trials import mean_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.kernel.roles.training import TrainingTask
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.bundle.loaded import LoadedBundle
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.pipeline.graph.parts import Trainers
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.steps.train import FitParams
    from mlopsfw.training.crossfit import Judged, Subject
    from mlopsfw.training.folds import Fold
    from mlopsfw.training.search.settings import Tune

STOP = "stop"
"""The file among the checkpoints of a trial by which the search stops it."""
_LOOK = 0.2  # seconds
_SCORED = 30  # times that a row is scored, to time it
_SEGMENT = 30  # rows


class Work(NamedTuple):
    """The rows of a search, and how its trials are compared.

    Args:
        tune: The settings.
        data: All training rows.
        subject: Those with a label.
        seen: int64 positions of the rows that trials see, ascending.
        unseen: Those of the rows that none sees; empty without a hold-out.
        folds: Of the rows that trials see.
        metrics: The project's.
        metric: The one that compares.
    """

    tune: Tune
    data: TrainingData
    subject: Subject
    seen: np.ndarray
    unseen: np.ndarray
    folds: list[Fold]
    metrics: MetricSet
    metric: str

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metric, and the further objectives."""
        return (self.metric, *self.tune.also)

    def maximizes(self, name: str) -> bool:
        """Return whether more of an objective is better."""
        return not is_measure(name) and self.metrics[name].higher_is_better

    def with_features(self, proposal: Proposal) -> Subject:
        """Return the rows with what a proposal learns from."""
        if not proposal.features:
            return self.subject
        return self.subject._replace(task=msgspec.structs.replace(self.subject.task, features=proposal.features))


def work_of(params: FitParams, tune: Tune, context: StepContext, metrics: MetricSet, privacy: Privacy) -> Work:
    """Return the work of a search; equal in each of its trials."""
    from mlopsfw.steps.train import training_task
    from mlopsfw.training.crossfit import Subject
    from mlopsfw.training.folds import Fold, make_folds

    data: TrainingData = context.load("train", TrainingData)
    subject = Subject.of(data, training_task(params, context, privacy, data))
    metric = tune.metric or metrics.primary(subject.task.task)
    for name in (metric, *tune.also, *tune.limits):  # an unknown name is refused before anything is trained
        if name.startswith("gap."):
            subject.frame([name.partition(".")[2]])
        elif not is_measure(name):
            _ = metrics[name]
    rows = subject.frame(tune.folds.columns(subject.task))
    seen, unseen = _divided(rows, tune, subject.task)
    folds = [Fold(seen[each.train], seen[each.validation]) for each in make_folds(rows[seen], tune.folds, subject.task)]
    return Work(tune, data, subject, seen, unseen, folds, metrics, metric)


def _divided(rows: pl.DataFrame, tune: Tune, task: TrainingTask) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the rows that trials see, and of those that none sees."""
    import numpy as np

    from mlopsfw.training.folds import make_folds

    if not tune.holdout:
        return np.arange(rows.height), np.arange(0)
    by = tune.folds.order(task)
    in_time = {"by": "time", "embargo": ""} if by in ("time", "purged") else {"by": by}
    outer = msgspec.structs.replace(tune.folds, folds=1, share=tune.holdout, **in_time)
    [fold] = make_folds(rows, outer, task)
    return fold.train, fold.validation


class Pruned(Exception):
    """The search has stopped this trial."""


@dataclass
class QuietContext:
    """The context of the fits of a trial. Their own metrics are not recorded: of hundreds of trials nobody reads them.

    Args:
        context: Of the trial.
    """

    context: StepContext
    _looked: float = 0.0

    @property
    def scratch(self) -> Path:
        """A folder of this attempt."""
        return self.context.scratch

    @property
    def checkpoints(self) -> Path:
        """A folder that is kept between attempts."""
        return self.context.checkpoints

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:  # noqa: ARG002 - left out
        """Leave it out."""
        self.check()

    def progress(self, phase: str, share: float) -> None:
        """Tell how far it is."""
        self.check()
        self.context.progress(phase, share)

    def check(self, every: float = _LOOK) -> None:
        """Raise `Pruned` if the search has stopped this trial. Looks once in `every` seconds."""
        now = time.monotonic()
        if now - self._looked >= every:
            self._looked = now
            if (self.checkpoints / STOP).exists():
                raise Pruned


def kept_folds(folder: Path) -> list[dict[str, float]]:
    """Return the values of the folds that a trial has finished, from the folder of its checkpoints."""
    folds: list[dict[str, float]] = []
    while (file := folder / f"fold{len(folds) + 1}.json").exists():
        folds.append(msgspec.json.decode(file.read_bytes()))
    return folds


def run_trial(work: Work, context: StepContext, *, trainers: Trainers, bundles: BundleStore) -> dict[str, Any]:
    """Train the proposal on each fold; return the values of each. Folds of an earlier attempt are not trained again."""
    from mlopsfw.training.crossfit import fit_rows, judged_by

    params = context.load(GIVEN)
    proposal, quiet = Proposal.of(params), QuietContext(context)
    subject, trainer = work.with_features(proposal), trainers(proposal.trainer, proposal.options)
    fit = partial(fit_rows, subject, trainer=trainer, bundles=bundles, context=quiet)
    folds = kept_folds(context.checkpoints)
    try:
        for number, fold in list(enumerate(work.folds, 1))[len(folds) :]:
            quiet.check(every=0)
            model = fit(fold.train, f"fold{number}")
            judged = judged_by(subject, model, fold.validation)
            measured = measures(work, model, judged, context.scratch / f"fold{number}" / "model")
            folds.append({**judged.mean(work.metrics, subject.task.task), **measured})
            _keep(context.checkpoints / f"fold{number}.json", folds[-1])
            if (value := mean_of(folds, work.metric)) is not None:
                context.log_metric(work.metric, value, number)
    except Pruned:
        return {"params": params, "folds": folds, "pruned": True}
    return {"params": params, "folds": folds}


def _keep(file: Path, values: dict[str, float]) -> None:
    part = file.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(values))
    part.replace(file)  # a trial that is killed here leaves none, or the whole


def measures(work: Work, model: LoadedBundle, judged: Judged, folder: Path) -> dict[str, float]:
    """Return what the search measures besides metrics.

    Args:
        work: Says what.
        model: The model.
        judged: Rows with its answers.
        folder: Where its files lie.
    """
    values: dict[str, float] = {}
    for name in work.tune.measures:
        if name == "row_ms":
            values[name] = _row_ms(model, work, judged)
        elif name == "bundle_mb":
            values[name] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
        else:
            values[name] = _gap(work, judged, name.partition(".")[2])
    return values


def _row_ms(model: LoadedBundle, work: Work, judged: Judged) -> float:
    from mlopsfw.training.folds import rows_at

    row = rows_at(work.subject.data, judged.at[:1], Path()).lazy().collect()
    times = []
    for _ in range(_SCORED):
        began = time.perf_counter()
        model.predict_table(row)
        times.append(time.perf_counter() - began)
    return median(times) * 1e3


def _gap(work: Work, judged: Judged, column: str) -> float:
    """Return the largest difference of the metric between two values of a column; 0 with fewer than two of enough rows."""
    from mlopsfw.models.evaluation import by_segment

    task = work.subject.task.task
    values = work.subject.frame([column])[column][judged.at]

    def score(at: np.ndarray) -> dict[str, float]:
        part = judged.where(at)
        return work.metrics.evaluate(task, part.labels, part.outputs, part.weights, only=[work.metric])

    segments = by_segment(values, score, fewest=_SEGMENT)
    scores = [each[work.metric] for each in segments.values() if work.metric in each]
    return max(scores) - min(scores) if scores else 0.0
