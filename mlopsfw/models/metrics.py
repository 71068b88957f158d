"""The metrics of models: mlopsfw's own, offered by the hook like anyone's, and the set of those that a project has.

Every metric is a float. One that is undefined on the rows (AUC with one class, R² of a constant) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlopsfw.kernel.base.errors import PluginError, UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.metric import Metric
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.models.evaluation import auc, calibration_error, log_loss, macro_f1, mean

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.host import Host

_ROUNDING = 1e-9
_PRIMARY = {"binary": "auc", "multiclass": "log_loss", "regression": "rmse"}

Weight = np.ndarray | None
Outputs = Mapping[str, np.ndarray]


class MetricSet:
    """Metrics by name. Implements `mlopsfw.roles.Metrics`.

    Args:
        metrics: Name → metric.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics

    def __contains__(self, name: object) -> bool:
        return name in self._metrics

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __getitem__(self, name: str) -> Metric:
        if name not in self._metrics:
            raise UsageError(f"there is no metric {name!r}", hint=nearest(name, self._metrics))
        return self._metrics[name]

    def of(self, task: str) -> list[str]:
        """Return the names of the metrics of a task. Raise `UsageError` where there is none."""
        names = [name for name, metric in self._metrics.items() if task in metric.tasks]
        if not names:
            known = sorted({task for metric in self._metrics.values() for task in metric.tasks})
            hint = f"Metrics are known for {', '.join(known)}. A plugin brings others: mlopsfw plugins new metric NAME."
            raise UsageError(f"no metrics are known for the task {task!r}", hint=hint)
        return names

    def evaluate(
        self,
        task: str,
        labels: np.ndarray,
        outputs: Outputs,
        weight: Weight = None,
        *,
        only: Collection[str] | None = None,
    ) -> dict[str, float]:
        """Return the metrics of a task; see `mlopsfw.roles.Metrics`."""
        names = [name for name in self.of(task) if only is None or name in only]
        values = {name: self._metrics[name].compute(labels, outputs, weight) for name in names}
        return {name: float(value) for name, value in values.items() if value is not None}

    def gain(self, name: str, value: float, other: float) -> float:
        """Return by how much a value of a metric is better than another: negative where it is worse."""
        return value - other if self[name].higher_is_better else other - value

    def within(self, ends: Mapping[str, tuple[float, float]]) -> dict[str, dict[str, float]]:
        """Return the ends of metrics' intervals as `low` and `high`, where the metrics can be. That no replicate differs does not make a value certain."""
        kept = {}
        for name, (low, high) in ends.items():
            if high - low > _ROUNDING * max(1.0, abs(high)):
                least, most = (0.0, 1.0) if self[name].bounded else (-math.inf, math.inf)
                kept[name] = {"low": max(low, least), "high": min(high, most)}
        return kept

    def primary(self, task: str) -> str:
        """Return the metric that compares models of a task by default. Raise `UsageError` where nothing says which."""
        names = self.of(task)
        if _PRIMARY.get(task) in names:
            return _PRIMARY[task]
        if len(names) > 1:
            raise UsageError(
                f"no metric compares models of the task {task!r} by default", hint=f'Write metric = "{names[0]}".'
            )
        return names[0]


def check_value(metric: Metric, value: Any) -> float | None:
    """Return what a metric computed. Raise `PluginError` unless it is None or a finite number, within its bounds."""
    if value is None:
        return None
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise PluginError(f"it returned {_described(value)} instead of a number or None")
    if not math.isfinite(value):
        raise PluginError(f"it returned {value}: return None where the metric is undefined")
    if metric.bounded and not -_ROUNDING <= value <= 1 + _ROUNDING:
        raise PluginError(f"it returned {value}, which is not between 0 and 1", hint="Build it without bounded=True.")
    return float(value)


def _described(value: Any) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


# -- mlopsfw's own -------------------------------------------------------------------------------------------------------


class NoConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric without options."""


def _main(outputs: Outputs) -> np.ndarray:
    return np.asarray(next(iter(outputs.values())), dtype=np.float64)


def _shares(labels: np.ndarray, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and the probabilities of every class; a binary model answers with that of the second."""
    main = _main(outputs)
    return ((labels == 1).astype(np.int64), np.stack([1 - main, main], axis=1)) if main.ndim == 1 else (labels, main)


def _auc(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float | None:
    """The area under the ROC curve; of several classes the mean of each against the rest."""
    main = _main(outputs)
    if main.ndim == 1:
        positive = labels == 1
        return auc(positive, main, weight) if 0 < positive.sum() < len(positive) else None
    present = [c for c in range(main.shape[1]) if 0 < (labels == c).sum() < len(labels)]
    return float(np.mean([auc(labels == c, main[:, c], weight) for c in present])) if present else None


def _log_loss(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float:
    return log_loss(*_shares(labels, outputs), weight)


def _guess(outputs: Outputs) -> np.ndarray:
    main = _main(outputs)
    return (main >= 0.5).astype(np.int64) if main.ndim == 1 else main.argmax(axis=1)  # noqa: PLR2004 - the likelier class


def _accuracy(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float:
    return mean(_guess(outputs) == labels, weight)


def _brier(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float:
    main = _main(outputs)
    if main.ndim == 1:
        return mean((main - (labels == 1)) ** 2, weight)
    return mean(((main - np.eye(main.shape[1])[labels]) ** 2).sum(axis=1), weight)


def _ece(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float:
    """The expected calibration error of the second class; of several classes, of the most likely one."""
    main = _main(outputs)
    if main.ndim == 1:
        return calibration_error(labels == 1, main, weight)
    return calibration_error(main.argmax(axis=1) == labels, main.max(axis=1), weight)


def _f1(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float | None:
    main = _main(outputs)
    if main.ndim > 1:
        return macro_f1(labels, main.argmax(axis=1), main.shape[1], weight)
    guess, positive = _guess(outputs) == 1, labels == 1
    total = _sum(guess, weight) + _sum(positive, weight)
    return 2 * _sum(guess & positive, weight) / total if total else None


def _precision(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float | None:
    guess = _guess(outputs) == 1
    return _sum(guess & (labels == 1), weight) / total if (total := _sum(guess, weight)) else None


def _recall(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float | None:
    positive = labels == 1
    return _sum((_guess(outputs) == 1) & positive, weight) / total if (total := _sum(positive, weight)) else None


def _positive_rate(labels: np.ndarray, _outputs: Outputs, weight: Weight) -> float:
    return mean(labels == 1, weight)


def _sum(rows: np.ndarray, weight: Weight) -> float:
    return float(rows.sum() if weight is None else weight[rows].sum())


def _rmse(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float:
    return math.sqrt(mean((_main(outputs) - labels) ** 2, weight))


def _mae(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float:
    return mean(np.abs(_main(outputs) - labels), weight)


def _r2(labels: np.ndarray, outputs: Outputs, weight: Weight) -> float | None:
    spread = mean((labels - mean(labels, weight)) ** 2, weight)
    return 1.0 - mean((_main(outputs) - labels) ** 2, weight) / spread if spread > 0 else None


_CLASSES, _BINARY, _REGRESSION = ("binary", "multiclass"), ("binary",), ("regression",)
_BOUNDED = frozenset({"accuracy", "auc", "ece", "f1", "positive_rate", "precision", "recall"})
_OWN: tuple[tuple[str, Callable[..., float | None], bool, tuple[str, ...], str], ...] = (
    ("log_loss", _log_loss, False, _CLASSES, "Mean negative log-likelihood"),
    ("accuracy", _accuracy, True, _CLASSES, "Share of right answers"),
    ("brier", _brier, False, _CLASSES, "Mean squared error of the probabilities"),
    ("ece", _ece, False, _CLASSES, "Expected calibration error"),
    ("positive_rate", _positive_rate, True, _BINARY, "Share of rows of the second class"),
    ("precision", _precision, True, _BINARY, "Share of positive answers that are right"),
    ("recall", _recall, True, _BINARY, "Share of positive rows that are found"),
    ("f1", _f1, True, _CLASSES, "F1, of several classes their mean"),
    ("auc", _auc, True, _CLASSES, "Area under the ROC curve"),
    ("rmse", _rmse, False, _REGRESSION, "Root mean squared error"),
    ("mae", _mae, False, _REGRESSION, "Mean absolute error"),
    ("r2", _r2, True, _REGRESSION, "Share of the variance that is explained"),
)
OWN = MetricSet(
    {
        name: Metric(compute=compute, higher_is_better=higher, tasks=tasks, bounded=name in _BOUNDED)
        for name, compute, higher, tasks, _ in _OWN
    }
)
"""mlopsfw's own metrics, in the order in which they are shown."""


def evaluate(task: str, labels: np.ndarray, outputs: np.ndarray, weights: Weight = None) -> dict[str, float]:
    """Return mlopsfw's own metrics of a model with one output, such as those of a trainer's validation rows.

    Args:
        task: `binary`, `multiclass` or `regression`.
        labels: int64 codes `[rows]`, in the order of the classes; float64 for regression.
        outputs: Probability of the second class `[rows]`; probabilities `[rows, classes]`; values `[rows]`.
        weights: Of the rows `[rows]`, not negative; None where all weigh alike. A row of weight 0 counts as if it were not there;
            zeros alone count as alike.
    """
    if weights is not None and (kept := weights > 0).any():
        return OWN.evaluate(task, labels[kept], {"": outputs[kept]}, weights[kept].astype(np.float64))
    return OWN.evaluate(task, labels, {"": outputs})


def evaluate_set(
    name: str, task: str, labels: np.ndarray, outputs: np.ndarray, weights: Weight = None
) -> dict[str, float]:
    """Return mlopsfw's own metrics of a trainer's rows as the trainer reports them, such as `valid_auc`. Those that are not finite are left out.

    Args:
        name: Of the rows, such as `valid`.
        task: `binary`, `multiclass` or `regression`.
        labels: Codes or numbers `[rows]` of any numeric type.
        outputs: As for `evaluate`.
        weights: As for `evaluate`.
    """
    codes = labels if task == "regression" else labels.astype(np.int64)
    values = evaluate(task, codes, outputs, weights)
    return {f"{name}_{metric}": value for metric, value in values.items() if math.isfinite(value)}


@hookimpl
def mlopsfw_metrics() -> Iterable[Provider[Metric]]:
    """Offer mlopsfw's own metrics."""
    for name, *_, summary in _OWN:
        yield Provider(name, NoConfig, partial(_build, name), summary)


def _build(name: str, _config: NoConfig, _host: Host) -> Metric:
    return OWN[name]
