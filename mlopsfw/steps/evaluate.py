"""The built-in step `evaluate`: measure a model on unseen rows, by segment, and beside baselines and the champion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mlopsfw.kernel.base.errors import UnknownName, UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.lineage.references import parse_reference
from mlopsfw.models.disturbances import Kind
from mlopsfw.models.money import MONEY, value_text
from mlopsfw.pipeline.graph.options import check_options
from mlopsfw.pipeline.graph.step import StepContext
from mlopsfw.steps.concerns import Bias, bias_of, columns, log_bias, speed_of
from mlopsfw.steps.disturbed import log_disturbed
from mlopsfw.steps.scored import Scored, clusters_of, rows_with_label, score, weights_of

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.models.registry import Registry

_MANY = 20_000  # rows from which on the jackknife stands for the bootstrap


class EvaluateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.evaluate]`.

    Args:
        segments: Columns whose values define segments with metrics of their own, and the interval of the main one.
        min_rows: The fewest rows of a reported segment.
        champion: A model to compare with on the same rows, such as `models:/delay@champion`; skipped while it does not
            exist. (The input `champion` does the same, but must exist.)
        metric: The metric of the comparison; by default AUC for binary, log loss for multiclass, RMSE for regression.
        weight: A column of weights: every metric counts each row so many times.
        group: The column whose rows depend on each other, such as a day: intervals count its values, not rows.
        bias: How the model treats groups of rows: `bias = { by = ["sex", "race"] }`.
        robustness: How inputs are disturbed: `noise`, `missing` (a column at a time), `unseen` (categories), `range` (a number far out of
            it), `steps` (small steps that harm most).
        importance: How often each input is shuffled to measure how much the model uses it, 0 for never.
        latency: How many single rows are scored to measure the latency, 0 for none.
    """

    segments: tuple[str, ...] = ()
    min_rows: Annotated[int, msgspec.Meta(ge=1)] = 30
    champion: str = ""
    metric: str = ""
    weight: str = ""
    group: str = ""
    bias: Bias = Bias()
    robustness: tuple[Kind, ...] = ()
    importance: Annotated[int, msgspec.Meta(ge=0)] = 0
    latency: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        check_options(self, champion=partial(parse_reference, scheme="models"))


def _facts(params: EvaluateParams, *, models: Registry) -> Mapping[str, object]:
    return {"champion": _champion(models, params)}


def _champion(models: Registry, params: EvaluateParams) -> str:
    """Return the digest of the champion's bundle, or nothing without a champion."""
    if not params.champion:
        return ""
    try:
        return models.resolve(params.champion).bundle
    except UnknownName:
        return ""


def _run(
    params: EvaluateParams, context: StepContext, *, models: Registry, bundles: BundleStore, metrics: MetricSet
) -> Mapping[str, Any]:
    bundle = bundles.open(context.load("model", Path))
    model = score(bundle, context.load("rows"), params.weight)
    clusters = clusters_of(model.rows, params.group)
    name = params.metric or metrics.primary(bundle.manifest.task)
    subject = {"bundle": context.inputs["model"].blob, "rows": model.rows.height}
    result: dict[str, Any] = {**subject, **_quality(metrics, params, model)}
    _add_intervals(metrics, {name, MONEY}, model, clusters, result)
    if "train" in context.inputs:
        rivals = _baselines(model, context.load("train"), params.weight)
        result["baseline"] = {each: rival.evaluate(metrics) for each, rival in rivals.items()}
        if against := compare_with_baselines(metrics, name, result):
            against |= _interval(metrics, name, (model, rivals[against["baseline"]]), clusters)
        result["against_baseline"] = against
    result |= _concerns(params, metrics, name, model, clusters)
    wired, champion = context.inputs.get("champion"), None
    if digest := wired.blob if wired is not None else _champion(models, params):
        other = bundles.open(context.blobs.get_folder(digest, context.scratch / "champion"))
        scored = score(other, model.rows, params.weight)
        champion = {"bundle": digest, "rows": scored.rows.height, **_quality(metrics, params, scored)}
        result["compare"] = _compare(metrics, name, (result, champion), (model, scored), clusters)
    elif params.champion:
        result["compare"] = None  # there is none yet, and a gate may rely on it
    _report(context, result)
    return {"metrics": _noted(context, result), "champion": champion}


def _concerns(
    params: EvaluateParams, metrics: MetricSet, metric: str, model: Scored, clusters: np.ndarray
) -> dict[str, Any]:
    """Return what is measured on request."""
    from mlopsfw.steps.disturbed import Trial, importance_of, robustness_of

    asked: dict[str, Any] = {}
    if params.latency:
        asked["latency"] = speed_of(model, params.latency)
    if params.bias.by:
        asked["bias"] = bias_of(params.bias, model, clusters, params.min_rows)
    if params.robustness:
        asked["robustness"] = robustness_of(Trial.of(model, metrics, metric, clusters), params.robustness)
    if params.importance:
        asked["importance"] = importance_of(Trial.of(model, metrics, metric, clusters), params.importance)
    return asked


def _quality(metrics: MetricSet, params: EvaluateParams, model: Scored) -> dict[str, Any]:
    """Return the metrics of a model, those of each segment, and its size."""
    size = sum(file.stat().st_size for file in model.bundle.folder.rglob("*") if file.is_file())
    quality: dict[str, Any] = {**model.evaluate(metrics), "size": {"bytes": size}}
    return quality | ({"segments": _segments(metrics, params, model)} if params.segments else {})


def _noted(context: StepContext, metrics: Mapping[str, Any]) -> Artifact:
    """Store the metrics. If the model is worse than a baseline, add a note for the display."""
    stored = context.values.store(metrics, "metrics")
    lost = metrics.get("against_baseline", {}).get("verdict") == "worse"
    if not lost:
        return stored
    return msgspec.structs.replace(stored, meta={**stored.meta, "note": metrics["against_baseline"]["says"]})


def _baselines(model: Scored, train: Any, weight: str) -> dict[str, Scored]:
    """Return the model's rows with the answers of each baseline in place of its own."""
    from mlopsfw.training.baselines import majority, regression

    manifest = model.bundle.manifest
    learned, known = rows_with_label(model.bundle, train, "training rows")
    weights = weights_of(learned, weight if weight in learned.columns else "")
    always = majority(known, len(manifest.classes), model.rows.height, weights)
    fitted = regression(manifest, learned, known, model.rows)
    name = "linear" if manifest.task == "regression" else "logistic"
    main = manifest.outputs[0].name
    answers = {"majority": always} | ({} if fitted is None else {name: fitted})
    return {each: model._replace(outputs={main: answer}) for each, answer in answers.items()}


def compare_with_baselines(metrics: MetricSet, metric: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the model with the best of the baselines. Values that are equal to three digits are a tie."""
    rivals = {name: found[metric] for name, found in result["baseline"].items() if metric in found}
    if metric not in result or not rivals:
        return {}
    best = (max if metrics[metric].higher_is_better else min)(rivals, key=rivals.__getitem__)
    own, other = float(result[metric]), float(rivals[best])
    gain = metrics.gain(metric, own, other)
    verdict = "tied" if f"{own:.3g}" == f"{other:.3g}" else "better" if gain > 0 else "worse"
    word = "as good as" if verdict == "tied" else f"{verdict} than"
    says = f"the model ({metric} {own:.3g}) is {word} the {best} baseline ({other:.3g})"
    return {"metric": metric, "baseline": best, "verdict": verdict, "gain": gain, "says": says}


def _segments(metrics: MetricSet, params: EvaluateParams, model: Scored) -> dict[str, Any]:
    from mlopsfw.models.evaluation import by_segment

    rows = model.rows
    columns(rows, params.segments, "segments")
    score = partial(model.evaluate, metrics)
    return {name: by_segment(rows[name], score, fewest=params.min_rows) for name in params.segments}


def _add_intervals(
    metrics: MetricSet, names: set[str], model: Scored, clusters: np.ndarray, result: dict[str, Any]
) -> None:
    """Add `intervals` beside the model's metrics, and beside those of each segment."""
    from mlopsfw.models.evaluation import segment_names

    def ends(at: np.ndarray | slice) -> dict[str, Any]:
        import numpy as np

        own = np.unique(clusters[at], return_inverse=True)[1]
        return metrics.within(_ends(metrics, names & {*result}, model.part(at), own))

    texts = {name: segment_names(model.rows[name]) for name in result.get("segments", {})}
    result["intervals"] = ends(slice(None))
    for column, values in result.get("segments", {}).items():
        for value, measured in values.items():
            measured["intervals"] = ends((texts[column] == value).nonzero()[0])


def _ends(metrics: MetricSet, names: set[str], model: Scored, clusters: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return metrics' intervals by the cluster bootstrap; of many rows by the jackknife, which computes each metric ten times less often."""
    from mlopsfw.models.bootstrap import intervals
    from mlopsfw.models.paired import interval

    if len(clusters) <= _MANY:
        return intervals(partial(model.repeated, metrics, names), clusters)

    def value(name: str, at: np.ndarray) -> float | None:
        return model.evaluate(metrics, at, [name]).get(name)

    both = {name: interval(partial(value, name), len(clusters), clusters) for name in sorted(names)}
    return {name: each for name, each in both.items() if each is not None}


def _compare(
    metrics: MetricSet,
    metric: str,
    results: tuple[Mapping[str, Any], Mapping[str, Any]],
    models: tuple[Scored, Scored],
    clusters: np.ndarray,
) -> dict[str, Any]:
    """Compare the model with the champion; both come in this order."""
    result, champion = results
    for name, each in (("the model", result), ("the champion", champion)):
        if metric not in each:
            raise UsageError(f"{name} has no metric {metric!r} on these rows", hint=nearest(metric, each))
    gain = metrics.gain(metric, result[metric], champion[metric])
    compared = {
        "bundle": champion["bundle"],
        "metric": metric,
        "model": result[metric],
        "champion": champion[metric],
        "gain": gain,
        "better": gain > 0,
    }
    compared |= _interval(metrics, metric, models, clusters)
    if metric != MONEY and MONEY in result and MONEY in champion:
        compared[MONEY] = _compare(metrics, MONEY, results, models, clusters)
    return compared


def _interval(metrics: MetricSet, metric: str, models: tuple[Scored, Scored], clusters: np.ndarray) -> dict[str, float]:
    """Return the ends of the gain's 95% interval; nothing where the two have other labels, or it is undefined."""
    from mlopsfw.models.paired import interval

    model, champion = models
    if model.bundle.manifest.target != champion.bundle.manifest.target:
        return {}

    def gain(at: np.ndarray) -> float | None:
        own, other = (each.evaluate(metrics, at, [metric]).get(metric) for each in (model, champion))
        return None if own is None or other is None else metrics.gain(metric, own, other)

    ends = interval(gain, len(model.labels), clusters)
    return {"low": ends[0], "high": ends[1]} if ends else {}


def _report(context: StepContext, metrics: Mapping[str, Any]) -> None:
    for name, value in metrics.items():
        if isinstance(value, int | float):
            context.log_metric(name, float(value))
    for name, found in metrics.get("baseline", {}).items():
        for metric, value in found.items():
            context.log_metric(f"baseline.{name}.{metric}", float(value))
    models = {"model": metrics, **metrics.get("baseline", {})}
    for name, found in models.items():
        numbers = ((k, v) for k, v in found.items() if isinstance(v, int | float))
        context.log(f"{name}: {', '.join(value_text(k, v, form='.4g') for k, v in numbers)}")
    for name, ends in metrics.get("intervals", {}).items():
        context.log(f"{name}: 95% interval {ends['low']:.4g} to {ends['high']:.4g}")
    if against := metrics.get("against_baseline"):
        ends = f" (95% interval of the gain: {against['low']:.4f} to {against['high']:.4f})" if "low" in against else ""
        context.log(against["says"] + ends)
    compared = metrics.get("compare") or {}
    for each in filter(None, (compared, compared.get(MONEY))):
        _log_comparison(context, each)
    log_bias(context, metrics.get("bias", {}))
    log_disturbed(context, metrics)


def _log_comparison(context: StepContext, compared: Mapping[str, Any]) -> None:
    own, other, *ends = (
        value_text(compared["metric"], compared[name], form=".4f")
        for name in ("model", "champion", "low", "high")
        if name in compared
    )
    name = f"{compared['metric']} "
    interval = f" (95% interval of the gain: {' to '.join(each.removeprefix(name) for each in ends)})" if ends else ""
    context.log(f"{own}, the champion's {other.removeprefix(name)}{interval}")


def build(params: EvaluateParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        inputs=("model", "rows"),
        optional=("train", "champion"),
        outputs=("metrics", "champion"),
        plugins=("metric",),
        facts=partial(_facts, params),
        version=10,
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `evaluate`."""
    yield Provider(
        "evaluate",
        EvaluateParams,
        build,
        "Evaluate a model on test rows, by segment and beside baselines and the champion",
    )
