"""A model beside its rivals on the same rows: baselines, and the champion; and how far chance could move each number."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.models.money import MONEY
from mlopsfw.steps.scored import Scored, rows_with_label, weights_of

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.models.metrics import MetricSet

_MANY = 20_000  # rows from which on the jackknife stands for the bootstrap


def baselines(model: Scored, train: Any, weight: str) -> dict[str, Scored]:
    """Return the model's rows with the answers of each baseline in place of its own."""
    from mlopsfw.training.baselines import constant_name, majority, regression

    manifest = model.bundle.manifest
    learned, known = rows_with_label(model.bundle, train, "training rows")
    weights = weights_of(learned, weight if weight in learned.columns else "")
    always = majority(known, len(manifest.classes), model.rows.height, weights)
    fitted = regression(manifest, learned, known, model.rows, weights)
    name = "linear" if manifest.task == "regression" else "logistic"
    main = manifest.outputs[0].name
    answers = {constant_name(manifest.task): always} | ({} if fitted is None else {name: fitted})
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


def add_intervals(
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


def compare_with_champion(
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
    compared |= interval_of_gain(metrics, metric, models, clusters)
    if metric != MONEY and MONEY in result and MONEY in champion:
        compared[MONEY] = compare_with_champion(metrics, MONEY, results, models, clusters)
    return compared


def interval_of_gain(
    metrics: MetricSet, metric: str, models: tuple[Scored, Scored], clusters: np.ndarray
) -> dict[str, float]:
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
