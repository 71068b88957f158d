"""The built-in step `validate`: train on folds of the rows, and judge each model on the rows that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.kernel.roles.training import TrainingData
from mlopsfw.pipeline.graph.step import StepContext
from mlopsfw.steps.train import TrainParams, training_task
from mlopsfw.steps.training_checks import check_validation
from mlopsfw.training.folds import Folds
from mlopsfw.training.search.space import check_distinct

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.pipeline.graph.parts import Trainers
    from mlopsfw.pipeline.run.children import Children
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.steps.fits import Fits, PlannedFit
    from mlopsfw.training.crossfit import Judged, Subject
    from mlopsfw.training.folds import Fold
    from mlopsfw.training.methodology import Doubt
    from mlopsfw.training.validation import Measure

_LEAK_ROWS = 50  # that the search for leaks needs
_OF_REPORT = ("trainer", "against", "metric", "segments", "min_rows", "slices", "learning_curve", "parallel")
"""Options that change no fit."""


class ValidateParams(TrainParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.validate]`: what the step `train` takes, and how to judge what it would make.

    Args:
        folds: How the rows are divided.
        against: Other trainers to compare with on the same folds.
        metric: The metric of comparisons and warnings; by default AUC for binary, log loss for multiclass, RMSE for regression.
        segments: Columns whose values define segments with metrics of their own.
        min_rows: The fewest rows of a reported segment, and in each half of a searched slice.
        slices: Whether to search for parts of the rows where the model is worse.
        learning_curve: Whether to train once more on half of the rows, to see if more rows would help.
        parallel: Models that are trained side by side; 0 for as many as the engine has slots.
    """

    folds: Folds = Folds()
    against: tuple[str, ...] = ()
    metric: str = ""
    segments: tuple[str, ...] = ()
    min_rows: Annotated[int, msgspec.Meta(ge=1)] = 30
    slices: bool = True
    learning_curve: bool = True
    parallel: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.folds.check("folds")
        check_distinct(self.against, "against")


class _Work(NamedTuple):
    """One validation under way.

    Args:
        params: The step's options.
        subject: The rows with a label.
        rows: Those of their columns that the report looks at.
        folds: Of the rows.
        metrics: The project's.
    """

    params: ValidateParams
    subject: Subject
    rows: pl.DataFrame
    folds: list[Fold]
    metrics: MetricSet

    @property
    def metric(self) -> str:
        return self.params.metric or self.metrics.primary(self.subject.task.task)


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
    report = _report(work, fits)
    report["warnings"] = [msgspec.to_builtins(doubt) for doubt in _doubts(work, report)]
    _tell(context, work, report)
    judged = fits.folds(params.trainer).judged
    predictions, doubtful = _predictions(work, judged), _review(work, judged)
    context.log(f"review ranks {doubtful.height:,} rows whose label the models doubt")
    return {"report": _noted(context, report), "predictions": predictions, "review": doubtful}


def _work(params: ValidateParams, context: StepContext, metrics: MetricSet, privacy: Privacy) -> _Work:
    from mlopsfw.training.crossfit import Subject
    from mlopsfw.training.folds import make_folds

    data: TrainingData = context.load("rows", TrainingData)
    subject = Subject.of(data, training_task(params, context, privacy, data))
    _check(params, subject)
    rows = subject.frame(params.folds.columns(subject.task))
    return _Work(params, subject, rows, make_folds(rows, params.folds, subject.task), metrics)


def _looked_at(work: _Work) -> list[str]:
    """Return the columns that the report looks at."""
    needed = {*work.rows.columns, *work.params.segments, *_features(work)}
    return [
        field.name
        for field in work.subject.data.schema
        if field.name in needed or str(field.type).startswith(("time", "date", "duration"))
    ]


def _plan(work: _Work) -> list[PlannedFit]:
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


def _half_fit(work: _Work) -> list[PlannedFit]:
    """Return the fit on half of the training rows of the last fold; none where that half has one class."""
    import numpy as np

    from mlopsfw.steps.fits import PlannedFit

    last, subject = work.folds[-1], work.subject
    draw = np.random.Generator(np.random.PCG64(subject.task.seed))
    half = np.sort(draw.choice(last.train, max(1, len(last.train) // 2), replace=False))
    if subject.classes and len(np.unique(subject.labels[half])) < 2:  # noqa: PLR2004 - classes to tell apart
        return []
    return [PlannedFit(work.params.trainer, "half", half, last.validation)]


def _folds_by_time(work: _Work) -> list[Fold]:
    from mlopsfw.training.folds import make_folds

    params = msgspec.structs.replace(work.params.folds, by="time", embargo="", shuffle_time=False)
    return make_folds(work.rows, params, work.subject.task)


def _check(params: ValidateParams, subject: Subject) -> None:
    """Raise for what would fail only when everything is trained."""
    from mlopsfw.kernel.roles.bundle import TASK_OUTPUTS
    from mlopsfw.models.bundle.scoring import check_names
    from mlopsfw.training.review import COLUMNS

    subject.frame(params.segments)
    others = [name for name in subject.data.schema.names if name != subject.task.target]
    check_names(others, ["fold", TASK_OUTPUTS[subject.task.task], *COLUMNS])


def _measure(work: _Work, judged: Judged) -> Measure:
    from mlopsfw.training.validation import Measure, clusters_of

    task = work.subject.task
    return Measure(work.metrics, task, clusters_of(work.rows, work.params.folds, task, judged.at))


def _report(work: _Work, fits: Fits) -> dict[str, Any]:
    """Return everything but the warnings."""
    from mlopsfw.training.validation import chance

    params, task = work.params, work.subject.task
    judged, learned = fits.folds(params.trainer)
    measure = _measure(work, judged)
    report: dict[str, Any] = {
        "rows": len(judged.at),
        "by": params.folds.order(task),
        "clusters": {"of": measure.clusters.words, "count": int(measure.clusters.codes.max()) + 1},
        **measure.whole(judged),
        "folds": measure.folds(work.rows, work.folds, judged),
        "learned": learned.mean(work.metrics, task.task),
        "baseline": {"majority": chance(work.subject, work.folds, judged, work.metrics)},
    }
    if params.segments:
        columns = {name: work.rows[name][judged.at] for name in params.segments}
        report["segments"] = measure.segments(columns, judged, params.min_rows)
    if params.slices:
        report["slices"] = _slices(work, measure, judged)
    if params.against:
        report["against"] = {
            name: measure.gain(judged, fits.folds(name).judged, work.metric) for name in params.against
        }
    if params.learning_curve:
        report["learning_curve"] = _half(work, measure, judged, fits)
    if params.folds.shuffle_time and task.time:
        report["optimism"] = _optimism(work, judged, fits)
    return report


def _slices(work: _Work, measure: Measure, judged: Judged) -> list[dict[str, Any]]:
    """Return the slices where the model is worse, confirmed or not. Values of personal columns are not told."""
    from mlopsfw.training.slices import losses, search

    options = work.subject.task.options
    columns = [name for name in _features(work) if not options.get(name, {}).get("pii")]
    found = search(
        work.rows.select(columns)[judged.at],
        losses(judged, work.subject.classes),
        measure.clusters.codes,
        weights=judged.weights,
        fewest=work.params.min_rows,
        seed=work.subject.task.seed,
    )
    return [msgspec.to_builtins(each) for each in found]


def _review(work: _Work, judged: Judged) -> pl.DataFrame:
    """Return the rows whose label is doubtful, with all of their columns."""
    from mlopsfw.training.folds import rows_at
    from mlopsfw.training.review import COLUMNS, review

    task, data = work.subject.task, work.subject.data
    doubtful = review(work.rows, judged, work.subject.classes, task.target, _features(work))
    others = [name for name in data.schema.names if name not in (task.target, "label_time")]
    at = doubtful["row"].sort()
    rows = rows_at(data, at.to_numpy(), Path()).lazy().select(others).collect().with_columns(at)
    return doubtful.select(COLUMNS).join(rows, on="row", how="left", maintain_order="left")


def _half(work: _Work, measure: Measure, judged: Judged, fits: Fits) -> dict[str, Any]:
    """Compare the model of the last fold with that of half of its training rows."""
    fit = fits.get(work.params.trainer, "half")
    if fit is None:
        return {}
    last = len(work.folds) - 1
    chosen = judged.fold == last
    whole = judged.where(chosen)
    return {
        "rows": len(work.folds[last].train),
        **measure._replace(clusters=measure.clusters.where(chosen)).gain(
            whole._replace(fold=fit.judged.fold), fit.judged, work.metric
        ),
    }


def _optimism(work: _Work, judged: Judged, fits: Fits) -> dict[str, Any]:
    """Compare the shuffled folds with folds by time, on the rows that both judge."""
    import numpy as np

    ordered = fits.folds(work.params.trainer, "ordered").judged
    place = np.argsort(judged.at, kind="stable")
    same = place[np.searchsorted(judged.at[place], ordered.at)]
    shuffled = judged.where(same)._replace(fold=ordered.fold)
    return _measure(work, ordered).gain(shuffled, ordered, work.metric)


def _doubts(work: _Work, report: Mapping[str, Any]) -> Iterator[Doubt]:
    from mlopsfw.training.methodology import doubts_of_rows, few_clusters, optimistic, overfitting, rising

    features = _features(work)
    yield from optimistic(report.get("optimism", {}))
    yield from doubts_of_rows(work.subject, work.rows, features, work.params.folds, work.folds)
    yield from _leaks(work, features)
    yield from overfitting(work.metric, work.metrics, report["learned"], report, report["baseline"]["majority"])
    yield from rising(report.get("learning_curve", {}))
    yield from few_clusters(report["clusters"], report["intervals"])


def _features(work: _Work) -> list[str]:
    from mlopsfw.features.fit import learned_columns

    task, there = work.subject.task, work.subject.data.schema.names
    names = learned_columns([*there, *(each.name for each in task.derived)], task)
    return [name for name in names if name in there and name != work.params.folds.label_time]


def _leaks(work: _Work, features: list[str]) -> Iterator[Doubt]:
    from mlopsfw.steps.leakage import LeakageParams, find_leaks
    from mlopsfw.training.methodology import Doubt

    if work.rows.height < _LEAK_ROWS:
        return
    task = work.subject.task
    for leak in find_leaks(work.rows.lazy(), LeakageParams(target=task.target, features=tuple(features), at=task.time)):
        yield Doubt(about="leakage", says=f"{leak.feature}: {leak.reason}")


def _predictions(work: _Work, judged: Judged) -> pl.LazyFrame:
    """Return the judged rows in the order of the input, with their fold and the answers beside them."""
    import numpy as np
    import polars as pl

    from mlopsfw.models.bundle.scoring import check_names
    from mlopsfw.training.folds import rows_at

    order, data = np.argsort(judged.at, kind="stable"), work.subject.data
    check_names(data.schema.names, ["fold", *judged.outputs])  # a trainer may have outputs of its own
    answers = {name: pl.Series(name, _listed(values[order])) for name, values in judged.outputs.items()}
    beside = pl.DataFrame({"fold": pl.Series(judged.fold[order] + 1, dtype=pl.Int32), **answers})
    return pl.concat([rows_at(data, judged.at[order], Path()).lazy(), beside.lazy()], how="horizontal")


def _listed(values: np.ndarray) -> Any:
    return values.tolist() if values.ndim > 1 else values


def _noted(context: StepContext, report: Mapping[str, Any]) -> Artifact:
    """Store the report. If it has warnings, add a note for the display."""
    stored = context.values.store(report, "report")
    if not report["warnings"]:
        return stored
    first = report["warnings"][0]["says"]
    more = f" ({len(report['warnings'])} warnings in its log)" if len(report["warnings"]) > 1 else ""
    return msgspec.structs.replace(stored, meta={**stored.meta, "note": first + more})


def _tell(context: StepContext, work: _Work, report: Mapping[str, Any]) -> None:
    names = dict.fromkeys([work.metric, *work.metrics.of(work.subject.task.task)])
    for name in filter(report.__contains__, names):
        context.log_metric(name, report[name])
        ends = report["intervals"].get(name)
        spread = f" (95% interval {ends['low']:.4f} to {ends['high']:.4f})" if ends else ""
        context.log(f"{name} {report[name]:.4f}{spread}")
    context.log(
        f"mean over {len(work.folds)} folds by {report['by']}; intervals count {report['clusters']['count']:,} "
        f"clusters ({report['clusters']['of']})"
    )
    for name, gain in report.get("against", {}).items():
        context.log(f"against {name}: {_gain(gain)}")
    for each in report.get("slices", []):
        if each["confirmed"]:
            context.log(
                f"worse where {each['where']}: mean loss {each['loss']:.4g} in {each['rows']:,} rows, elsewhere {each['rest']:.4g}"
            )
    for doubt in report["warnings"]:
        context.log(f"warning: {doubt['says']}")


def _gain(gain: Mapping[str, Any]) -> str:
    if "gain" not in gain:
        return f"{gain['metric']} is undefined"
    ends = f" (95% interval {gain['low']:.4f} to {gain['high']:.4f})" if "low" in gain else ""
    verdict = "better" if gain.get("better") else "worse" if gain.get("worse") else "no difference beyond chance"
    return f"{gain['metric']} {gain['value']:.4f}, {gain['rival']:.4f}; gain {gain['gain']:.4f}{ends}: {verdict}"


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
