"""Model quality: metrics over labels and outputs, also by segment. Needs only NumPy; knows no bundles or steps.

Every metric is a float. A metric that is undefined on the rows (AUC with one class, R² of a constant) is left out.

"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlopsfw.capturelog.classes import find_class, listed
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    import polars as pl
else:
    pl = lazy("polars")

_TINY = 1e-15
_BINS = 15
_MOST_SEGMENTS = 50

Metrics = dict[str, float]

_PRIMARY = {"binary": "auc", "multiclass": "log_loss", "regression": "rmse"}


def check_task(task: str) -> None:
    """Raise `UsageError` for a task that has no metrics here."""
    if task not in _PRIMARY:
        raise UsageError(
            f"no metrics are known for the task {task!r}", hint=f"Metrics are known for {', '.join(_PRIMARY)}."
        )


def higher_is_better(metric: str) -> bool:
    """Return whether a larger value of `metric` is better."""
    return metric not in ("log_loss", "brier", "ece", "rmse", "mae")


def primary_metric(task: str) -> str:
    """Return the metric that compares models of a task by default."""
    check_task(task)
    return _PRIMARY[task]


def evaluate(task: str, labels: np.ndarray, outputs: np.ndarray) -> Metrics:
    """Return the metrics of a task.

    Args:
        task: `binary`, `multiclass` or `regression`.
        labels: int64 codes `[rows]`, in the order of the classes; float64 for regression.
        outputs: Probability of the second class `[rows]`; probabilities `[rows, classes]`; values `[rows]`.
    """
    check_task(task)
    if task == "binary":
        return binary_metrics(labels, np.asarray(outputs, dtype=np.float64))
    if task == "multiclass":
        return multiclass_metrics(labels, np.asarray(outputs, dtype=np.float64))
    return regression_metrics(labels, np.asarray(outputs, dtype=np.float64))


# -- binary --------------------------------------------------------------------------------------------------------------


def binary_metrics(labels: np.ndarray, probability: np.ndarray) -> Metrics:
    """Return AUC, log loss, accuracy, Brier score, expected calibration error, F1, precision and recall (at one half)."""
    positive = labels == 1
    guess = probability >= 0.5  # noqa: PLR2004 - the more likely class
    hits = float((guess & positive).sum())
    metrics = {
        "log_loss": log_loss(positive.astype(np.int64), np.stack([1 - probability, probability], axis=1)),
        "accuracy": float((guess == positive).mean()),
        "brier": float(((probability - positive) ** 2).mean()),
        "ece": calibration_error(positive, probability),
        "positive_rate": float(positive.mean()),
    }
    if guess.any():
        metrics["precision"] = hits / float(guess.sum())
    if positive.any():
        metrics["recall"] = hits / float(positive.sum())
    if guess.any() or positive.any():
        metrics["f1"] = 2 * hits / float(guess.sum() + positive.sum())
    if 0 < positive.sum() < len(positive):
        metrics["auc"] = auc(positive, probability)
    return metrics


def auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the ROC curve by ranks, ties counted half (Mann & Whitney, 1947)."""
    _, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    upto = np.cumsum(counts)
    ranks = (upto - (counts - 1) / 2.0)[index]
    ones = int(positive.sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2.0) / (ones * (len(positive) - ones)))


def calibration_error(hit: np.ndarray, confidence: np.ndarray) -> float:
    """Return the expected calibration error over bins of equal width (Guo et al., 2017, eq. 3)."""
    bin_of = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gap = np.bincount(bin_of, weights=confidence - hit, minlength=_BINS)
    return float(np.abs(gap).sum() / len(hit))


# -- multiclass ----------------------------------------------------------------------------------------------------------


def multiclass_metrics(labels: np.ndarray, probabilities: np.ndarray) -> Metrics:
    """Return log loss, accuracy, macro F1, Brier score, calibration error of the most likely class, and mean one-versus-rest AUC."""
    classes = probabilities.shape[1]
    guess = probabilities.argmax(axis=1)
    hit = guess == labels
    truth = np.eye(classes)[labels]
    metrics = {
        "log_loss": log_loss(labels, probabilities),
        "accuracy": float(hit.mean()),
        "brier": float(((probabilities - truth) ** 2).sum(axis=1).mean()),
        "ece": calibration_error(hit, probabilities.max(axis=1)),
        "f1": _macro_f1(labels, guess, classes),
    }
    present = [c for c in range(classes) if 0 < (labels == c).sum() < len(labels)]
    if present:
        metrics["auc"] = float(np.mean([auc(labels == c, probabilities[:, c]) for c in present]))
    return metrics


def _macro_f1(labels: np.ndarray, guess: np.ndarray, classes: int) -> float:
    hits = np.bincount(labels[labels == guess], minlength=classes)
    named = np.bincount(guess, minlength=classes) + np.bincount(labels, minlength=classes)
    present = named > 0
    return float((2 * hits[present] / named[present]).mean())


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the true class, with probabilities bounded away from 0."""
    return float(-np.log(np.clip(probabilities[np.arange(len(labels)), labels], _TINY, 1.0)).mean())


# -- regression ----------------------------------------------------------------------------------------------------------


def regression_metrics(labels: np.ndarray, values: np.ndarray) -> Metrics:
    """Return RMSE, MAE and R²."""
    error = values - labels
    squares = float((error**2).mean())
    spread = float(labels.var())
    metrics = {"rmse": squares**0.5, "mae": float(np.abs(error).mean())}
    if spread > 0:
        metrics["r2"] = 1.0 - squares / spread
    return metrics


# -- labels and segments -------------------------------------------------------------------------------------------------


def class_codes(labels: pl.Series, classes: Sequence[str | int | bool]) -> np.ndarray:
    """Return labels as int64 codes, in the order of `classes`.

    Raises:
        DataError: A label is null or is none of the classes.
    """
    import polars as pl

    dtype = labels.dtype
    plain = dtype.is_integer() or dtype.is_float() or dtype == pl.Boolean
    values = (labels if plain else labels.cast(pl.String)).rename(labels.name)
    distinct = values.unique().drop_nulls()
    matches = [find_class(value, classes) for value in distinct]
    class_codes = pl.Series([-1 if match is None else classes.index(match) for match in matches], dtype=pl.Int64)
    codes = values.replace_strict(distinct, class_codes, default=-1, return_dtype=pl.Int64)
    unknown = codes.fill_null(-1) == -1
    if unknown.any():
        row = int(unknown.arg_max() or 0)
        raise DataError(
            f"column {labels.name!r}, row {row}: {values[row]!r} is not a class of the model",
            hint=f"Its classes are {listed(classes)}.",
        )
    return codes.to_numpy().astype(np.int64)


def by_segment(
    segments: pl.Series, score: Callable[[np.ndarray], Mapping[str, float]], *, fewest: int = 1
) -> dict[str, Metrics]:
    """Return metrics for each value of a column, largest segments first (at most 50), with `rows` among them.

    Args:
        segments: One value a row; null is a segment of its own, called `null`.
        score: Returns the metrics of the rows at an index.
        fewest: Rows that a segment needs.
    """
    import polars as pl

    texts = segments.cast(pl.String).fill_null("null").to_numpy()
    names, index, counts = np.unique(texts, return_inverse=True, return_counts=True)
    order = [int(at) for at in np.argsort(-counts, kind="stable") if counts[at] >= fewest][:_MOST_SEGMENTS]
    return {str(names[at]): {"rows": float(counts[at]), **score(np.flatnonzero(index == at))} for at in order}
