"""The built-in step `validate`: train on folds of the rows, and judge each model on the rows that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.kernel.roles.training import TrainingData
from mlopsfw.pipeline.graph.step import StepContext
from mlopsfw.steps.training_checks import check_validation
from mlopsfw.steps.training_params import training_task
from mlopsfw.steps.validation import ValidateParams, Validation
from mlopsfw.steps.validation_report import doubtful_rows, doubts_of, log_report, predictions_of, report_of

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.pipeline.graph.parts import Trainers
    from mlopsfw.pipeline.run.children import Children
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.steps.fits import PlannedFit
    from mlopsfw.training.crossfit import Subject
    from mlopsfw.training.folds import Fold

_OF_REPORT = ("trainer", "against", "metric", "segments", "min_rows", "slices", "learning_curve", "parallel")
"""Options that change no fit."""


def _run(
    params: ValidateParams,
    context: StepContext,
    *,
    trainers: Trainers,
    bundles: BundleStore,
    metrics: MetricSet,
    privacy: Privacy,
    children: Callable[[StepContext], Children],
) -> Mapping[str, Any]:
    from mlopsfw.steps.fits import FitLoop, make_fit, own_fit

    work = _work(params, context, metrics, privacy)
    planned = _plan(work)
    if fit := own_fit(context, planned):
        answers = make_fit(work.subject, fit, trainer=trainers(fit.trainer), bundles=bundles, context=context)
        return {"report": None, "predictions": answers, "review": None}
    counts = {name: value for name, value in context.params.items() if name not in _OF_REPORT}
    fits = FitLoop(work.subject, children(context), context, counts).run(planned, params.parallel)
    work = work._replace(rows=work.subject.frame(_looked_at(work)))
    report = report_of(work, fits)
    report["warnings"] = [msgspec.to_builtins(doubt) for doubt in doubts_of(work, report)]
    log_report(context, work, report)
    judged = fits.folds(params.trainer).judged
    predictions, doubtful = predictions_of(work, judged), doubtful_rows(work, judged)
    context.log(f"review ranks {doubtful.height:,} rows whose label the models doubt")
    return {"report": _noted(context, report), "predictions": predictions, "review": doubtful}


def _work(params: ValidateParams, context: StepContext, metrics: MetricSet, privacy: Privacy) -> Validation:
    from mlopsfw.training.crossfit import Subject
    from mlopsfw.training.folds import make_folds

    data: TrainingData = context.load("rows", TrainingData)
    subject = Subject.of(data, training_task(params, context, privacy, data))
    _check(params, subject)
    rows = subject.frame(params.folds.columns(subject.task))
    return Validation(params, subject, rows, make_folds(rows, params.folds, subject.task), metrics)


def _looked_at(work: Validation) -> list[str]:
    """Return the columns that the report looks at."""
    needed = {*work.rows.columns, *work.params.segments, *work.features}
    return [
        field.name
        for field in work.subject.data.schema
        if field.name in needed or str(field.type).startswith(("time", "date", "duration"))
    ]


def _plan(work: Validation) -> list[PlannedFit]:
    """Return the fits that the report needs. Equal arguments give equal plans: each child makes the plan anew."""
    from mlopsfw.steps.fits import planned_folds

    params, own = work.params, work.params.trainer
    names = dict.fromkeys((own, *params.against))
    planned = [fit for name in names for fit in planned_folds(name, work.folds)]
    if params.learning_curve:
        planned += _half_fit(work)
    if params.folds.shuffle_time and work.subject.task.time:
        planned += planned_folds(own, _folds_by_time(work), "ordered")
    return planned


def _half_fit(work: Validation) -> list[PlannedFit]:
    """Return the fit on half of the training rows of the last fold; none where that half has one class."""
    import numpy as np

    from mlopsfw.steps.fits import PlannedFit

    last, subject = work.folds[-1], work.subject
    draw = np.random.Generator(np.random.PCG64(subject.task.seed))
    half = np.sort(draw.choice(last.train, max(1, len(last.train) // 2), replace=False))
    if subject.classes and len(np.unique(subject.labels[half])) < 2:  # noqa: PLR2004 - classes to tell apart
        return []
    return [PlannedFit(work.params.trainer, "half", half, last.validation)]


def _folds_by_time(work: Validation) -> list[Fold]:
    from mlopsfw.training.folds import make_folds

    params = msgspec.structs.replace(work.params.folds, by="time", embargo="", shuffle_time=False)
    return make_folds(work.rows, params, work.subject.task)


def _check(params: ValidateParams, subject: Subject) -> None:
    """Raise for what would fail only when everything is trained."""
    from mlopsfw.kernel.roles.bundle import QUANTILE_OUTPUT, TASK_OUTPUTS
    from mlopsfw.models.bundle.scoring import check_names
    from mlopsfw.training.review import COLUMNS

    subject.frame(params.segments)
    others = [name for name in subject.data.schema.names if name != subject.task.target]
    quantiles = map(QUANTILE_OUTPUT.format, params.quantiles)
    check_names(others, ["fold", TASK_OUTPUTS[subject.task.task], *quantiles, *COLUMNS])


def _noted(context: StepContext, report: Mapping[str, Any]) -> Artifact:
    """Store the report. If it has warnings, add a note for the display."""
    stored = context.values.store(report, "report")
    if not report["warnings"]:
        return stored
    first = report["warnings"][0]["says"]
    more = f" ({len(report['warnings'])} warnings in its log)" if len(report["warnings"]) > 1 else ""
    return msgspec.structs.replace(stored, meta={**stored.meta, "note": first + more})


def build(params: ValidateParams, _host: Host) -> Step:
    """Return the step with these options."""
    names = dict.fromkeys([params.trainer, *params.against])
    return Step(
        run=partial(_run, params),
        check=partial(check_validation, params),
        inputs=("rows", *params.lookup),
        outputs=("report", "predictions", "review"),
        plugins=(*(f"trainer.{name}" for name in names), "metric"),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `validate`."""
    yield Provider("validate", ValidateParams, build, "Judge a trainer on rows that its models did not learn from")
