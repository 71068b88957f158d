"""A model beside rows with labels: its answers, their weights, and which rows depend on each other. Steps that judge a model share it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import nearest

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.models.bundle.loaded import LoadedBundle
    from mlopsfw.models.metrics import MetricSet

_ALL = slice(None)


def rows_with_label(bundle: LoadedBundle, loaded: Any, what: str) -> tuple[pl.DataFrame, np.ndarray]:
    """Return the rows with a label, and the labels as codes or numbers. NaN is no label, as in training.

    Raise `DataError` where there is none, or a label is no class of the model, or no finite number.

    Args:
        bundle: Its target and classes count.
        loaded: A table, or one unread.
        what: Which rows these are, for messages.
    """
    import polars as pl

    from mlopsfw.capturelog.classes import class_codes
    from mlopsfw.features.labels import numbers, with_label

    manifest = bundle.manifest
    frame: pl.DataFrame = loaded.collect() if isinstance(loaded, pl.LazyFrame) else loaded
    if manifest.target not in frame.columns:
        raise DataError(f"the {what} have no column {manifest.target!r}", hint=nearest(manifest.target, frame.columns))
    kept = frame.filter(with_label(manifest.target, frame.schema))
    if not kept.height:
        raise DataError(f"none of the {frame.height} {what} has a label in {manifest.target!r}")
    if manifest.classes:
        return kept, class_codes(kept[manifest.target], manifest.classes)
    return kept, numbers(kept[manifest.target])


class Scored(NamedTuple):
    """A model, and the rows that have a label: as a table, their labels, the model's answers, and their weights."""

    bundle: LoadedBundle
    rows: pl.DataFrame
    labels: np.ndarray
    outputs: Mapping[str, np.ndarray]
    weights: np.ndarray | None

    def evaluate(
        self, metrics: MetricSet, at: np.ndarray | slice = _ALL, only: Collection[str] | None = None
    ) -> dict[str, float]:
        """Return the metrics of the rows at an index: none where all their weights are 0."""
        outputs = {name: values[at] for name, values in self.outputs.items()}
        weights = None if self.weights is None else self.weights[at]
        if weights is not None and not weights.any():
            return {}
        return metrics.evaluate(self.bundle.manifest.task, self.labels[at], outputs, weights, only=only)

    def repeated(self, metrics: MetricSet, names: Collection[str], times: np.ndarray | None) -> dict[str, float]:
        """Return metrics where each row counts so many times, or once; a bootstrap asks so."""
        if times is None:
            return self.evaluate(metrics, only=names)
        part = self.part(times.nonzero()[0])
        own = times[times > 0]
        return part._replace(weights=own if part.weights is None else own * part.weights).evaluate(metrics, only=names)

    def part(self, at: np.ndarray | slice) -> Scored:
        """Return the rows at an index, with all that belongs to them."""
        outputs = {name: values[at] for name, values in self.outputs.items()}
        return Scored(
            self.bundle, self.rows[at], self.labels[at], outputs, None if self.weights is None else self.weights[at]
        )


def score(bundle: LoadedBundle, loaded: Any, weight: str) -> Scored:
    """Return a model's answers to the rows that have a label, with their weights from a column, if it is named."""
    rows, labels = rows_with_label(bundle, loaded, "rows")
    return Scored(bundle, rows, labels, bundle.predict_table(rows), weights_of(rows, weight))


def weights_of(rows: pl.DataFrame, name: str) -> np.ndarray | None:
    """Return a column of weights; None where none is named. Raise `UsageError` where there is no such column."""
    if not name:
        return None
    if name not in rows.columns:
        raise UsageError(f"weight: the rows have no column {name!r}", hint=nearest(name, rows.columns))
    from mlopsfw.features.labels import check_weights

    return check_weights(rows[name])


def clusters_of(rows: pl.DataFrame, group: str) -> np.ndarray:
    """Return each row's cluster as an int64 code from 0: the value of a column, or the row itself without one. Raise `UsageError`."""
    import numpy as np

    from mlopsfw.training.folds import codes_of

    if not group:
        return np.arange(rows.height)
    if group not in rows.columns:
        raise UsageError(f"group: the rows have no column {group!r}", hint=nearest(group, rows.columns))
    return codes_of(rows[group])
