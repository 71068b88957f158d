"""The built-in step `evaluate`: measure a model on unseen rows, by segment, and beside baselines and the champion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.config.options import check_options
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.lineage.references import parse_reference
from mlopsfw.models.disturbances import Kind
from mlopsfw.models.money import MONEY, value_text
from mlopsfw.pipeline.graph.step import StepContext
from mlopsfw.pipeline.values.likeness import TIMINGS
from mlopsfw.steps.comparison import (
    add_intervals,
    baselines,
    compare_with_baselines,
    compare_with_champion,
    interval_of_gain,
)
from mlopsfw.steps.concerns import Bias, bias_of, columns, log_bias, speed_of
from mlopsfw.steps.disturbed import log_disturbed
from mlopsfw.steps.scored import Scored, clusters_of, score

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.models.registry import Registry


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
    add_intervals(metrics, {name, MONEY}, model, clusters, result)
    if "train" in context.inputs:
        rivals = baselines(model, context.load("train"), params.weight)
        result["baseline"] = {each: rival.evaluate(metrics) for each, rival in rivals.items()}
        if against := compare_with_baselines(metrics, name, result):
            against |= interval_of_gain(metrics, name, (model, rivals[against["baseline"]]), clusters)
        result["against_baseline"] = against
    result |= _concerns(params, metrics, name, model, clusters)
    wired, champion = context.inputs.get("champion"), None
    if digest := wired.blob if wired is not None else _champion(models, params):
        other = bundles.open(context.blobs.get_folder(digest, context.scratch / "champion"))
        scored = score(other, model.rows, params.weight)
        champion = {"bundle": digest, "rows": scored.rows.height, **_quality(metrics, params, scored)}
        result["compare"] = compare_with_champion(metrics, name, (result, champion), (model, scored), clusters)
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
    facts = {TIMINGS: ["latency"]} if "latency" in metrics else {}
    if metrics.get("against_baseline", {}).get("verdict") == "worse":
        facts["note"] = metrics["against_baseline"]["says"]
    return msgspec.structs.replace(stored, meta={**stored.meta, **facts})


def _segments(metrics: MetricSet, params: EvaluateParams, model: Scored) -> dict[str, Any]:
    from mlopsfw.models.evaluation import by_segment

    rows = model.rows
    columns(rows, params.segments, "segments")
    score = partial(model.evaluate, metrics)
    return {name: by_segment(rows[name], score, fewest=params.min_rows) for name in params.segments}


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
