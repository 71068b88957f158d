"""The built-in step `validate`: train on folds of the rows, and judge each model on the rows that it did not learn from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.kernel.roles.training import TrainingData
from mlopsfw.pipeline.graph.step import StepContext
from mlopsfw.steps.train import TrainParams, training_task
from mlopsfw.training.folds import Folds

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.pipeline.graph.parts import Trainers
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.training.crossfit import CrossFit, Fit, Judged, Subject
    from mlopsfw.training.folds import Fold
    from mlopsfw.training.methodology import Doubt
    from mlopsfw.training.validation import Measure

_LEAK_ROWS = 50  # that the search for leaks needs


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
    """

    folds: Folds = Folds()
    against: tuple[str, ...] = ()
    metric: str = ""
    segments: tuple[str, ...] = ()
    min_rows: Annotated[int, msgspec.Meta(ge=1)] = 30
    slices: bool = True
    learning_curve: bool = True


class _Work(NamedTuple):
    """One validation under way."""

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
) -> Mapping[str, Any]:
    from mlopsfw.training.crossfit import cross_fit, fit_rows

    work = _work(params, context, metrics, privacy)
    fits = {
        name: partial(fit_rows, work.subject, trainer=trainers(name), bundles=bundles, context=context)
        for name in (params.trainer, *params.against)
    }
    crossed = cross_fit(work.subject, fits[params.trainer], work.folds)
    report = _report(work, crossed, fits)
    report["warnings"] = [msgspec.to_builtins(doubt) for doubt in _doubts(work, report)]
    _tell(context, work, report)
    predictions, doubtful = _predictions(work, crossed.judged), _review(work, crossed.judged)
    context.log(f"review ranks {doubtful.height:,} rows whose label the models doubt")
    return {"report": _noted(context, report), "predictions": predictions, "review": doubtful}


def _work(params: ValidateParams, context: StepContext, metrics: MetricSet, privacy: Privacy) -> _Work:
    from mlopsfw.training.crossfit import Subject
    from mlopsfw.training.folds import make_folds

    data: TrainingData = context.load("rows", TrainingData)
    subject = Subject.of(data, training_task(params, context, privacy, data))
    _check(params, subject, metrics)
    rows = subject.frame(subject.data.schema.names)
    return _Work(params, subject, rows, make_folds(rows, params.folds, subject.task), metrics)


def _check(params: ValidateParams, subject: Subject, metrics: MetricSet) -> None:
    """Raise for what would fail only when everything is trained."""
    from mlopsfw.kernel.roles.bundle import TASK_OUTPUTS
    from mlopsfw.models.bundle.scoring import check_names
    from mlopsfw.training.review import COLUMNS

    if params.metric:
        metrics[params.metric]
    subject.frame(params.segments)
    others = [name for name in subject.data.schema.names if name != subject.task.target]
    check_names(others, ["fold", TASK_OUTPUTS[subject.task.task], *COLUMNS])


def _measure(work: _Work, judged: Judged) -> Measure:
    from mlopsfw.training.validation import Measure, clusters_of

    task = work.subject.task
    return Measure(work.metrics, task, clusters_of(work.rows, work.params.folds, task, judged.at))


def _report(work: _Work, crossed: CrossFit, fits: Mapping[str, Fit]) -> dict[str, Any]:
    """Return everything but the warnings."""
    from mlopsfw.training.validation import chance

    params, task, judged = work.params, work.subject.task, crossed.judged
    measure, own = _measure(work, judged), fits[params.trainer]
    report: dict[str, Any] = {
        "rows": len(judged.at),
        "by": params.folds.order(task),
        "clusters": {"of": measure.clusters.words, "count": int(measure.clusters.codes.max()) + 1},
        **measure.whole(judged),
        "folds": measure.folds(work.rows, work.folds, judged),
        "learned": crossed.learned.mean(work.metrics, task.task),
        "baseline": {"majority": chance(work.subject, work.folds, judged, work.metrics)},
    }
    if params.segments:
        columns = {name: work.rows[name][judged.at] for name in params.segments}
        report["segments"] = measure.segments(columns, judged, params.min_rows)
    if params.slices:
        report["slices"] = _slices(work, measure, judged)
    if params.against:
        report["against"] = {name: _against(work, measure, judged, (name, fits[name])) for name in params.against}
    if params.learning_curve:
        report["learning_curve"] = _half(work, measure, judged, own)
    if params.folds.shuffle_time and task.time:
        report["optimism"] = _optimism(work, judged, own)
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
        fewest=work.params.min_rows,
        seed=work.subject.task.seed,
    )
    return [msgspec.to_builtins(each) for each in found]


def _review(work: _Work, judged: Judged) -> pl.DataFrame:
    from mlopsfw.training.review import review

    return review(work.rows, judged, work.subject.classes, work.subject.task.target, _features(work))


def _against(work: _Work, measure: Measure, judged: Judged, rival: tuple[str, Fit]) -> dict[str, Any]:
    """Compare with another trainer on the same folds."""
    from mlopsfw.training.crossfit import cross_fit

    name, fit = rival

    return measure.gain(judged, cross_fit(work.subject, fit, work.folds, f"{name}.fold").judged, work.metric)


def _half(work: _Work, measure: Measure, judged: Judged, fit: Fit) -> dict[str, Any]:
    """Compare the model of the last fold with one of half of its training rows."""
    import numpy as np

    from mlopsfw.training.crossfit import judged_by

    last = work.folds[-1]
    draw = np.random.Generator(np.random.PCG64(work.subject.task.seed))
    half = np.sort(draw.choice(last.train, max(1, len(last.train) // 2), replace=False))
    if work.subject.classes and len(np.unique(work.subject.labels[half])) < 2:  # noqa: PLR2004 - classes to tell apart
        return {}
    chosen = judged.fold == len(work.folds) - 1
    rival = judged_by(work.subject, fit(half, "half"), last.validation)
    whole = judged.where(chosen)._replace(fold=rival.fold)
    return {
        "rows": len(last.train),
        **measure._replace(clusters=measure.clusters.where(chosen)).gain(whole, rival, work.metric),
    }


def _optimism(work: _Work, judged: Judged, fit: Fit) -> dict[str, Any]:
    """Compare the shuffled folds with folds by time, on the rows that both judge."""
    import numpy as np

    from mlopsfw.training.crossfit import cross_fit
    from mlopsfw.training.folds import make_folds

    params = msgspec.structs.replace(work.params.folds, by="time", embargo="", shuffle_time=False)
    folds = make_folds(work.rows, params, work.subject.task)
    ordered = cross_fit(work.subject, fit, folds, "ordered").judged
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

    task, there = work.subject.task, work.rows.columns
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


def _predictions(work: _Work, judged: Judged) -> pl.DataFrame:
    """Return the judged rows in the order of the input, with their fold and the answers beside them."""
    import numpy as np
    import polars as pl

    from mlopsfw.models.bundle.scoring import check_names

    order = np.argsort(judged.at, kind="stable")
    check_names(work.rows.columns, ["fold", *judged.outputs])  # a trainer may have outputs of its own
    answers = {name: pl.Series(name, _listed(values[order])) for name, values in judged.outputs.items()}
    return work.rows[judged.at[order]].with_columns(pl.Series("fold", judged.fold[order] + 1, pl.Int32), **answers)


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
        inputs=("rows", *params.lookup),
        outputs=("report", "predictions", "review"),
        plugins=(*(f"trainer.{name}" for name in names), "metric"),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `validate`."""
    yield Provider("validate", ValidateParams, build, "Judge a trainer on rows that its models did not learn from")
