"""Compare the metrics of a window, where labels are known, with those at evaluation, to see whether the model got worse.

Both have a sampling error, and rows of one group correlate. The standard error of the window is a jackknife that leaves out whole groups
(Wolter, Introduction to Variance Estimation, 2nd ed., chapter 4); that of the evaluation is assumed equal for the same number of rows.
An alarm needs a loss beyond the allowed one that these errors do not explain. Both ranking (AUC) and probabilities (log loss) count: a model
can still rank well after a change of the base rate has made its probabilities wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlopsfw.evaluation import OWN, class_codes, value_text
from mlopsfw.roles import Baseline, Finding, Metric, Metrics, Number, Window
from mlopsfw_monitor_drift.groups import enough, numbered, student_tail

if TYPE_CHECKING:
    from mlopsfw_monitor_drift import DriftConfig

_Outputs = Mapping[str, NDArray[np.generic]]

_GROUP = "mlopsfw group"  # no input is called so
_PARTS = 20  # groups of the jackknife if rows count as independent, or have too few groups


@dataclass(frozen=True)
class Decay:
    """What the labels show: the metrics, a finding for each that got worse, and a summary."""

    numbers: tuple[Number, ...] = ()
    findings: tuple[Finding, ...] = ()
    summary: str = ""


WATCHED = {"binary": ("auc", "log_loss"), "multiclass": ("log_loss", "accuracy"), "regression": ("rmse",)}
"""mlopsfw's own metrics to compare with those at evaluation; those of plugins are all compared."""


def decay(window: Window, baseline: Baseline, groups: NDArray[np.int64] | None, config: DriftConfig) -> Decay:
    """Compare the realised metrics with those at evaluation."""
    joined = _joined(window, groups, baseline.outputs)
    if joined is None or joined.height < config.min_rows:
        return Decay()
    labels, outputs = _arrays(joined, baseline)
    measures = window.metrics or OWN
    metrics = measures.evaluate(baseline.task, labels, outputs)
    foreign = [name for name in metrics if name not in OWN]
    watched = [*(name for name in WATCHED.get(baseline.task, ()) if name in metrics), *foreign]
    parts = _parts(joined[_GROUP].to_numpy())
    errors = _standard_errors(measures, baseline.task, watched, (labels, outputs), parts)
    comparable = [name for name in errors if name in baseline.metrics]
    alpha = config.alpha / 2 / window.looks / max(len(comparable), 1)
    freedom = np.unique(parts).size - 1
    realised = [
        Realised(name, measures[name], metrics[name], errors[name], joined.height, freedom) for name in comparable
    ]
    findings = tuple(finding for each in realised if (finding := _worse(each, baseline, config, alpha)) is not None)
    text = ", ".join(_text(name, metrics[name], errors.get(name), baseline.metrics.get(name)) for name in watched)
    worse = {finding.subject for finding in findings}
    numbers = tuple(
        Number(name=name, kind="performance", value=value, error=errors.get(name), changed=name in worse)
        for name, value in (metrics | _label_mean(baseline, labels)).items()
    )
    return Decay(numbers, findings, text)


@dataclass(frozen=True)
class Realised:
    """A metric on the window: its name and record, value, standard error, number of rows, and the degrees of freedom of the error."""

    name: str
    metric: Metric
    value: float
    error: float
    rows: int
    freedom: int


def _worse(now: Realised, baseline: Baseline, config: DriftConfig, alpha: float) -> Finding | None:
    """Return a finding if the metric lost more than allowed, and more than its standard errors explain."""
    before, better = baseline.metrics[now.name], now.metric.higher_is_better
    loss = before - now.value if better else now.value - before
    allowed = _allowed(now.metric, before, config)
    spread = now.error * math.sqrt(1 + now.rows / baseline.metrics.get("rows", now.rows))
    pvalue = student_tail((loss - allowed) / spread, now.freedom) if spread > 0 else float(loss <= allowed)
    if loss <= allowed or pvalue > alpha:
        return None
    return Finding(
        kind="performance", subject=now.name, severity="critical",
        message=f"the model is worse: {_text(now.name, now.value, now.error, before)}",
        value=now.value, threshold=bound(now.metric, before, config), pvalue=pvalue,
        facts={"loss": loss, "standard_error": now.error, "labelled": now.rows},
    )  # fmt: skip


def bound(metric: Metric, before: float, config: DriftConfig) -> float:
    """Return the value of a metric beyond which it lost more than is allowed, by its value at evaluation."""
    allowed = _allowed(metric, before, config)
    return before - allowed if metric.higher_is_better else before + allowed


def _allowed(metric: Metric, before: float, config: DriftConfig) -> float:
    return config.metric_drop if metric.higher_is_better and metric.bounded else config.error_rise * abs(before)


def _text(name: str, now: float, error: float | None, before: float | None) -> str:
    was = "" if before is None else f", was {value_text(name, before).removeprefix(f'{name} ')} at evaluation"
    return f"{value_text(name, now, error)}{was}"


def _joined(window: Window, groups: NDArray[np.int64] | None, outputs: Sequence[str]) -> pl.DataFrame | None:
    if window.labels is None or not window.labels.num_rows:
        return None
    rows = pl.DataFrame(window.rows)
    numbers = np.zeros(rows.height, dtype=np.int64) if groups is None else groups
    labels = pl.DataFrame(window.labels).select("prediction_id", "label")
    joined = rows.drop("label", strict=False).with_columns(pl.Series(_GROUP, numbers)).join(labels, on="prediction_id")
    return joined.drop_nulls(["label", outputs[0]])


def _parts(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the part of each row, which the jackknife leaves out at a time: its group, or one of 20 parts if too few groups have labels."""
    labelled = numbered(groups)
    return labelled if enough(labelled) else np.arange(groups.size, dtype=np.int64) % _PARTS


def _arrays(joined: pl.DataFrame, baseline: Baseline) -> tuple[NDArray[np.generic], _Outputs]:
    outputs = {name: _column(joined[name]) for name in baseline.outputs if name in joined.columns}
    if baseline.classes:
        return class_codes(joined["label"], baseline.classes), outputs
    return joined["label"].cast(pl.Float64).to_numpy(), outputs


def _column(values: pl.Series) -> NDArray[np.generic]:
    return np.stack(values.to_list()) if values.dtype in (pl.List, pl.Array) else values.to_numpy()


def _label_mean(baseline: Baseline, labels: NDArray[np.generic]) -> dict[str, float]:
    return {"label_mean": float(labels.astype(np.float64).mean())} if baseline.task != "multiclass" else {}


def _standard_errors(
    measures: Metrics,
    task: str,
    names: Sequence[str],
    rows: tuple[NDArray[np.generic], _Outputs],
    groups: NDArray[np.int64],
) -> dict[str, float]:
    """Return the standard errors of the delete-a-group jackknife. A metric undefined without some part has none, and raises no alarm."""
    labels, outputs = rows
    without = [groups != group for group in np.unique(groups)]
    estimates = [
        measures.evaluate(task, labels[kept], {name: column[kept] for name, column in outputs.items()}, only=names)
        for kept in without
        if kept.any()
    ]
    defined = [name for name in names if len(estimates) > 1 and all(name in metrics for metrics in estimates)]
    return {name: _jackknife([metrics[name] for metrics in estimates]) for name in defined}


def _jackknife(values: Sequence[float]) -> float:
    spread = np.square(np.array(values) - np.mean(values)).sum()
    return float(np.sqrt(spread * (len(values) - 1) / len(values)))
