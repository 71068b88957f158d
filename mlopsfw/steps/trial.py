"""One trial of a search: the proposed trainer on each fold of the rows that the search sees."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlopsfw.kernel.roles.training import TrainingData
from mlopsfw.pipeline.run.child import GIVEN
from mlopsfw.training.search.space import Proposal
from mlopsfw.training.search.trials import mean_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.kernel.roles.training import TrainingTask
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.pipeline.graph.parts import Trainers
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.steps.train import FitParams
    from mlopsfw.training.crossfit import Subject
    from mlopsfw.training.folds import Fold
    from mlopsfw.training.search.settings import Tune


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
    def higher_is_better(self) -> bool:
        """Whether more of the metric is better."""
        return self.metrics[self.metric].higher_is_better

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
    _ = metrics[metric]  # an unknown name is refused before anything is trained
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


class QuietContext(NamedTuple):
    """The context of the fits of a trial. Their own metrics are not recorded: of hundreds of trials nobody reads them.

    Args:
        context: Of the trial.
    """

    context: StepContext

    @property
    def scratch(self) -> Path:
        """A folder of this attempt."""
        return self.context.scratch

    @property
    def checkpoints(self) -> Path:
        """A folder that is kept between attempts."""
        return self.context.checkpoints

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:
        """Leave it out."""

    def progress(self, phase: str, share: float) -> None:
        """Tell how far it is."""
        self.context.progress(phase, share)


def run_trial(work: Work, context: StepContext, *, trainers: Trainers, bundles: BundleStore) -> dict[str, Any]:
    """Train the proposal on each fold; return the metrics of each. Folds of an earlier attempt are not trained again."""
    from mlopsfw.training.crossfit import fit_rows, judged_by

    params = context.load(GIVEN)
    proposal = Proposal.of(params)
    subject, trainer = work.with_features(proposal), trainers(proposal.trainer, proposal.options)
    fit = partial(fit_rows, subject, trainer=trainer, bundles=bundles, context=QuietContext(context))
    folds: list[dict[str, float]] = []
    for number, fold in enumerate(work.folds, 1):
        kept = context.checkpoints / f"fold{number}.json"
        if kept.exists():
            folds.append(msgspec.json.decode(kept.read_bytes()))
        else:
            judged = judged_by(subject, fit(fold.train, f"fold{number}"), fold.validation)
            folds.append(judged.mean(work.metrics, subject.task.task))
            _keep(kept, folds[-1])
        value = mean_of(folds, work.metric)
        if value is not None:
            context.log_metric(work.metric, value, number)
    return {"params": params, "folds": folds}


def _keep(file: Path, values: dict[str, float]) -> None:
    part = file.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(values))
    part.replace(file)  # a trial that is killed here leaves none, or the whole
