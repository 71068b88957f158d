"""Has the model grown worse? Where labels have come, its metric on the window against its metric at evaluation.

The metric of a window has a sampling error, and rows of one day share their weather: it is a jackknife that leaves out whole
groups (Wolter, Introduction to Variance Estimation, 2nd ed., chapter 4). An alarm needs the drop beyond the allowed one to
exceed what that error explains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlopsfw.contracts.monitoring import Baseline, Finding, Window
from mlopsfw.evaluation import class_codes, evaluate, higher_is_better, primary_metric

if TYPE_CHECKING:
    from mlopsfw_monitor_drift import DriftConfig

_PARTS = 20  # groups of the jackknife where rows are taken to be independent


@dataclass(frozen=True)
class Decay:
    """What the labels say: the metrics, whether the model has grown worse, and in words."""

    labelled: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    alarm: bool = False
    summary: str = ""


def decay(window: Window, baseline: Baseline, groups: NDArray[np.int64] | None, config: DriftConfig) -> Decay:
    """Compare the realised metric with the one at evaluation."""
    joined = _joined(window, groups)
    if joined is None or joined.height < config.min_rows:
        return Decay(labelled=0 if joined is None else joined.height)
    labels, outputs = _arrays(joined, baseline)
    metrics = evaluate(baseline.task, labels, outputs)
    name = primary_metric(baseline.task)
    now, before = metrics.get(name), baseline.metrics.get(name)
    if now is None:
        return Decay(joined.height, metrics)
    error = _standard_error(baseline.task, name, labels, outputs, joined["group"].to_numpy())
    metrics = metrics | {f"{name}_standard_error": error} | _label_mean(baseline, labels)
    if before is None:
        return Decay(joined.height, metrics, summary=f"{name} {now:.3f}")
    better = higher_is_better(name)
    drop = before - now if better else now - before
    allowed = config.metric_drop if better else config.metric_drop * abs(before)
    pvalue = 0.5 * math.erfc((drop - allowed) / error / math.sqrt(2)) if error > 0 else float(drop <= allowed)
    worse = drop > allowed and pvalue <= config.alpha
    text = f"{name} {now:.3f} ± {error:.3f}, was {before:.3f} at evaluation"
    finding = Finding(
        kind="performance", subject=name, severity="critical", message=f"the model has grown worse: {text}",
        value=now, threshold=before - allowed if better else before + allowed, pvalue=pvalue,
        facts={"drop": drop, "standard_error": error, "labelled": joined.height},
    )  # fmt: skip
    return Decay(joined.height, metrics, (finding,) if worse else (), alarm=worse, summary=text)


def _joined(window: Window, groups: NDArray[np.int64] | None) -> pl.DataFrame | None:
    if window.labels is None or not window.labels.num_rows:
        return None
    rows = pl.DataFrame(window.rows)
    numbers = np.arange(rows.height) % _PARTS if groups is None else groups
    labels = pl.DataFrame(window.labels).select("prediction_id", "label")
    return rows.with_columns(group=pl.Series(numbers)).join(labels, on="prediction_id").drop_nulls("label")


def _arrays(joined: pl.DataFrame, baseline: Baseline) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    output = joined[baseline.outputs[0]]
    outputs = np.stack(output.to_list()) if output.dtype in (pl.List, pl.Array) else output.to_numpy()
    if baseline.task == "regression":
        return joined["label"].cast(pl.Float64).to_numpy(), outputs
    return class_codes(joined["label"], baseline.classes), outputs


def _label_mean(baseline: Baseline, labels: NDArray[np.generic]) -> dict[str, float]:
    return {"label_mean": float(labels.astype(np.float64).mean())} if baseline.task != "multiclass" else {}


def _standard_error(
    task: str, name: str, labels: NDArray[np.generic], outputs: NDArray[np.generic], groups: NDArray[np.int64]
) -> float:
    """Return the delete-a-group jackknife's standard error; 0 where there are fewer than two groups that leave a metric."""
    kept = (groups != group for group in np.unique(groups))
    values = [v for k in kept if (v := evaluate(task, labels[k], outputs[k]).get(name)) is not None]
    if len(values) < 2:  # noqa: PLR2004 - a variance needs two
        return 0.0
    spread = np.square(np.array(values) - np.mean(values)).sum()
    return float(np.sqrt(spread * (len(values) - 1) / len(values)))
