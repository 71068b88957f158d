"""What a validation says once its models are trained: the report with its warnings, the answers, and the rows with a doubtful label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.steps.fits import Fits
    from mlopsfw.steps.validation import Validation
    from mlopsfw.training.crossfit import Judged
    from mlopsfw.training.methodology import Doubt
    from mlopsfw.training.validation import Measure

_LEAK_ROWS = 50  # that the search for leaks needs


def _measure(work: Validation, judged: Judged) -> Measure:
    from mlopsfw.training.validation import Measure, clusters_of

    task = work.subject.task
    return Measure(work.metrics, task, clusters_of(work.rows, work.params.folds, task, judged.at))


def report_of(work: Validation, fits: Fits) -> dict[str, Any]:
    """Return everything but the warnings."""
    from mlopsfw.training.baselines import constant_name
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
        "baseline": {constant_name(task.task): chance(work.subject, work.folds, judged, work.metrics)},
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


def _slices(work: Validation, measure: Measure, judged: Judged) -> list[dict[str, Any]]:
    """Return the slices where the model is worse, confirmed or not. Values of personal columns are not told."""
    from mlopsfw.training.slices import losses, search

    options = work.subject.task.options
    columns = [name for name in work.features if not options.get(name, {}).get("pii")]
    found = search(
        work.rows.select(columns)[judged.at],
        losses(judged, work.subject.classes),
        measure.clusters.codes,
        weights=judged.weights,
        fewest=work.params.min_rows,
        seed=work.subject.task.seed,
    )
    return [msgspec.to_builtins(each) for each in found]


def doubtful_rows(work: Validation, judged: Judged) -> pl.DataFrame:
    """Return the rows whose label is doubtful, with all of their columns."""
    from mlopsfw.training.folds import rows_at
    from mlopsfw.training.review import COLUMNS, review

    task, data = work.subject.task, work.subject.data
    doubtful = review(work.rows, judged, work.subject.classes, task.target, work.features)
    others = [name for name in data.schema.names if name not in (task.target, "label_time")]
    at = doubtful["row"].sort()
    rows = rows_at(data, at.to_numpy(), Path()).lazy().select(others).collect().with_columns(at)
    return doubtful.select(COLUMNS).join(rows, on="row", how="left", maintain_order="left")


def _half(work: Validation, measure: Measure, judged: Judged, fits: Fits) -> dict[str, Any]:
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


def _optimism(work: Validation, judged: Judged, fits: Fits) -> dict[str, Any]:
    """Compare the shuffled folds with folds by time, on the rows that both judge."""
    import numpy as np

    ordered = fits.folds(work.params.trainer, "ordered").judged
    place = np.argsort(judged.at, kind="stable")
    same = place[np.searchsorted(judged.at[place], ordered.at)]
    shuffled = judged.where(same)._replace(fold=ordered.fold)
    return _measure(work, ordered).gain(shuffled, ordered, work.metric)


def doubts_of(work: Validation, report: Mapping[str, Any]) -> Iterator[Doubt]:
    """Yield what is doubtful about the validation, for the report."""
    from mlopsfw.training.methodology import doubts_of_rows, few_clusters, optimistic, overfitting, rising

    features = work.features
    yield from optimistic(report.get("optimism", {}))
    yield from doubts_of_rows(work.subject, work.rows, features, work.params.folds, work.folds)
    yield from _leaks(work, features)
    yield from overfitting(work.metric, work.metrics, report["learned"], report, *report["baseline"].values())
    yield from rising(report.get("learning_curve", {}))
    yield from few_clusters(report["clusters"], report["intervals"])


def _leaks(work: Validation, features: list[str]) -> Iterator[Doubt]:
    from mlopsfw.steps.leakage import LeakageParams, find_leaks
    from mlopsfw.training.methodology import Doubt

    if work.rows.height < _LEAK_ROWS:
        return
    task = work.subject.task
    for leak in find_leaks(work.rows.lazy(), LeakageParams(target=task.target, features=tuple(features), at=task.time)):
        yield Doubt(about="leakage", says=f"{leak.feature}: {leak.reason}")


def predictions_of(work: Validation, judged: Judged) -> pl.LazyFrame:
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


_DRAWN = {
    "time": "by time", "purged": "purged by time", "group": "by group", "stratified": "stratified by class", "random": "at random",
}  # fmt: skip


def log_report(context: StepContext, work: Validation, report: Mapping[str, Any]) -> None:
    """Write the report to the log of the step, and its metrics."""
    names = dict.fromkeys([work.metric, *work.metrics.of(work.subject.task.task)])
    for name in filter(report.__contains__, names):
        context.log_metric(name, report[name])
        ends = report["intervals"].get(name)
        spread = f" (95% interval {ends['low']:.4f} to {ends['high']:.4f})" if ends else ""
        context.log(f"{name} {report[name]:.4f}{spread}")
    over = f"mean over {len(work.folds)} folds" if len(work.folds) > 1 else "one fold"
    clusters = f"{report['clusters']['count']:,} clusters ({report['clusters']['of']})"
    context.log(f"{over} {_DRAWN[report['by']]}; intervals count {clusters}")
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
