"""One trial of a search: the proposed trainer on each fold of the rows that the search sees."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlopsfw.kernel.roles.training import TrainingData
from mlopsfw.pipeline.run.child import GIVEN
from mlopsfw.steps.quiet import Pruned, QuietContext
from mlopsfw.training.search.settings import MEASURES, is_measure
from mlopsfw.training.search.space import Proposal
from mlopsfw.training.search.trials import Values

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
    from mlopsfw.steps.training_params import FitParams
    from mlopsfw.training.crossfit import Judged, Subject
    from mlopsfw.training.folds import Fold, Folds
    from mlopsfw.training.search.settings import Tune

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
        by: How rows are divided.
        folds: Of the rows that trials see.
        metrics: The project's.
        metric: The one that compares.
        quantiles: What the winner answers beside its value.
    """

    tune: Tune
    data: TrainingData
    subject: Subject
    seen: np.ndarray
    unseen: np.ndarray
    by: Folds
    folds: list[Fold]
    metrics: MetricSet
    metric: str
    quantiles: tuple[float, ...]

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metric, and the further objectives."""
        return (self.metric, *self.tune.also)

    def maximizes(self, name: str) -> bool:
        """Return whether more of an objective is better."""
        return not is_measure(name) and self.metrics[name].higher_is_better

    @property
    def last_shares(self) -> tuple[float, float]:
        """How long the trainings after the search take, on the seen rows and on all, in trials: by the rows that they learn from."""
        trial = sum(len(fold.train) for fold in self.folds)
        return (len(self.seen) if len(self.unseen) else 0) / trial, self.subject.data.rows / trial

    def with_features(self, proposal: Proposal) -> Subject:
        """Return the rows with what a proposal learns from."""
        if not proposal.features:
            return self.subject
        return self.subject._replace(task=msgspec.structs.replace(self.subject.task, features=proposal.features))

    def winning_task(self, proposal: Proposal) -> TrainingTask:
        """Return what the trainer of the best proposal learns from all rows."""
        return msgspec.structs.replace(self.with_features(proposal).task, quantiles=self.quantiles)


def work_of(params: FitParams, tune: Tune, context: StepContext, metrics: MetricSet, privacy: Privacy) -> Work:
    """Return the work of a search; equal in each of its trials."""
    from mlopsfw.steps.training_params import training_task
    from mlopsfw.training.crossfit import Subject
    from mlopsfw.training.folds import Fold, make_folds

    data: TrainingData = context.load("train", TrainingData)
    task = training_task(params, context, privacy, data)
    if not _compares_quantiles(tune, metrics, task):
        task = msgspec.structs.replace(task, quantiles=())
    subject = Subject.of(data, task)
    metric = tune.metric or metrics.primary(subject.task.task)
    subject.frame([name.partition(".")[2] for name in tune.measures if name not in MEASURES])
    by = tune.folds_of(subject.data.rows)
    rows = subject.frame(by.columns(subject.task))
    seen, unseen = _divided(rows, by, tune.holdout, subject.task)
    folds = [Fold(seen[each.train], seen[each.validation]) for each in make_folds(rows[seen], by, subject.task)]
    return Work(tune, data, subject, seen, unseen, by, folds, metrics, metric, params.quantiles)


def _compares_quantiles(tune: Tune, metrics: MetricSet, task: TrainingTask) -> bool:
    """Return whether quantiles can change how a trial compares: they count in its time and size, and a plugin's metric may read them."""
    from mlopsfw.models.metrics import OWN
    from mlopsfw.models.money import MONEY

    of_value = {*OWN, MONEY}
    return not {"row_ms", "bundle_mb"}.isdisjoint(tune.measures) or not of_value.issuperset(metrics.of(task.task))


def _divided(rows: pl.DataFrame, folds: Folds, share: float, task: TrainingTask) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the rows that trials see, and of those that none sees."""
    import numpy as np

    from mlopsfw.training.folds import make_folds

    if not share:
        return np.arange(rows.height), np.arange(0)
    by = folds.order(task)
    in_time = {"by": "time", "embargo": ""} if by in ("time", "purged") else {"by": by}
    outer = msgspec.structs.replace(folds, folds=1, share=share, **in_time)
    [fold] = make_folds(rows, outer, task)
    return fold.train, fold.validation


def run_trial(work: Work, context: StepContext, *, trainers: Trainers, bundles: BundleStore) -> dict[str, Any]:
    """Train the proposal on each fold; return the values of each. Folds of an earlier attempt are not trained again."""
    from mlopsfw.training.crossfit import fit_rows, judged_by

    params = context.load(GIVEN)
    proposal, quiet = Proposal.of(params), QuietContext(context)
    subject, trainer = work.with_features(proposal), trainers(proposal.trainer, proposal.options)
    fit = partial(fit_rows, subject, trainer=trainer, bundles=bundles, context=quiet)
    values = Values.of(context.checkpoints)
    made: dict[str, Any] = {"params": params, "folds": values.folds, "losses": values.losses}
    try:
        for number, fold in list(enumerate(work.folds, 1))[len(values.folds) :]:
            quiet.begin(number, values)
            model = fit(fold.train, f"fold{number}")
            judged = judged_by(subject, model, fold.validation)
            measured = measures(work, model, judged, context.scratch / f"fold{number}" / "model")
            values.folds.append({**judged.mean(work.metrics, subject.task.task), **measured})
            values.keep(context.checkpoints)
    except Pruned:
        return {**made, "pruned": True}
    return made


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
