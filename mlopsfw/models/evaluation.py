"""Model quality: numbers over labels and outputs, also by segment. Needs only NumPy; `metrics` makes metrics of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    import polars as pl
else:
    pl = lazy("polars")

_TINY = 1e-15
_BINS = 15
_MOST_SEGMENTS = 50


# -- numbers of labels and outputs ---------------------------------------------------------------------------------------


def mean(values: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the mean of rows, weighted where they have weights."""
    return float(values.mean()) if weight is None else float(np.average(values, weights=weight))


def auc(positive: np.ndarray, score: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the area under the ROC curve by ranks, ties counted half (Mann & Whitney, 1947)."""
    _, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    if weight is None:
        upto = np.cumsum(counts)
        ranks = (upto - (counts - 1) / 2.0)[index]
        ones = int(positive.sum())
        return float((ranks[positive].sum() - ones * (ones + 1) / 2.0) / (ones * (len(positive) - ones)))
    hits = np.bincount(index, weights=weight * positive)
    misses = np.bincount(index, weights=weight * ~positive)
    below = np.cumsum(misses) - misses / 2.0
    return float((hits * below).sum() / (hits.sum() * misses.sum()))


def calibration_error(hit: np.ndarray, confidence: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the expected calibration error over bins of equal width (Guo et al., 2017, eq. 3)."""
    bin_of = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gaps = confidence - hit if weight is None else (confidence - hit) * weight
    total = len(hit) if weight is None else float(weight.sum())
    return float(np.abs(np.bincount(bin_of, weights=gaps, minlength=_BINS)).sum() / total)


def macro_f1(labels: np.ndarray, guess: np.ndarray, classes: int, weight: np.ndarray | None = None) -> float:
    """Return the mean F1 of the classes that are answered or true."""
    rows = np.ones(len(labels)) if weight is None else weight
    hit = labels == guess
    hits = np.bincount(labels[hit], weights=rows[hit], minlength=classes)
    answered = np.bincount(guess, weights=rows, minlength=classes) + np.bincount(
        labels, weights=rows, minlength=classes
    )
    present = answered > 0
    return float((2 * hits[present] / answered[present]).mean())


def log_loss(labels: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the mean negative log-likelihood of the true class, with probabilities bounded away from 0."""
    return -mean(np.log(np.clip(probabilities[np.arange(len(labels)), labels], _TINY, 1.0)), weight)


# -- segments ----------------------------------------------------------------------------------------------------------


def by_segment(
    segments: pl.Series, score: Callable[[np.ndarray], Mapping[str, float]], *, fewest: int = 1
) -> dict[str, dict[str, float]]:
    """Return metrics for each value of a column, largest segments first (at most 50), with `rows` among them.

    Args:
        segments: One value a row; null is a segment of its own, called `null`.
        score: Returns the metrics of the rows at an index.
        fewest: Rows that a segment needs.
    """
    names, index, counts = np.unique(segment_names(segments), return_inverse=True, return_counts=True)
    order = [int(at) for at in np.argsort(-counts, kind="stable") if counts[at] >= fewest][:_MOST_SEGMENTS]
    return {str(names[at]): {"rows": float(counts[at]), **score(np.flatnonzero(index == at))} for at in order}


def segment_names(segments: pl.Series) -> np.ndarray:
    """Return the name of each row's segment."""
    import polars as pl

    names: np.ndarray = segments.cast(pl.String).fill_null("null").to_numpy()
    return names
