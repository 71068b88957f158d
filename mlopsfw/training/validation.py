"""What out-of-fold answers say of a trainer: metrics with intervals that heed which rows depend on each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlopsfw.models.bootstrap import Estimates, intervals
from mlopsfw.models.evaluation import by_segment
from mlopsfw.training.baselines import majority
from mlopsfw.training.folds import codes_of, micros

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.roles.training import TrainingTask
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.training.crossfit import Judged, Subject
    from mlopsfw.training.folds import Fold, Folds

_BLOCKS = 20  # of time; their dependence on each other is that at their ends


class Clusters(NamedTuple):
    """Which of the judged rows depend on each other.

    Args:
        codes: int64 code of each row's cluster, from 0.
        words: What a cluster is: a group, a block of time, or a row.
    """

    codes: np.ndarray
    words: str

    def where(self, chosen: np.ndarray) -> Clusters:
        """Return the clusters of some of the rows."""
        return Clusters(np.unique(self.codes[chosen], return_inverse=True)[1], self.words)

    def intervals(self, estimates: Estimates, seed: int) -> dict[str, tuple[float, float]]:
        """Return the 95% interval of each estimate; see `mlopsfw.models.bootstrap.intervals`."""
        return intervals(estimates, self.codes, seed=seed)


def clusters_of(rows: pl.DataFrame, folds: Folds, task: TrainingTask, at: np.ndarray) -> Clusters:
    """Return the clusters of the judged rows: their group; without one 20 blocks of time where there is an event time; else each row.

    Args:
        rows: All rows.
        folds: Names the group.
        task: Names the event time.
        at: Positions of the judged rows.
    """
    if folds.group:
        codes, words = codes_of(rows[folds.group])[at], f"group {folds.group}"
    elif task.time:
        time = micros(rows, task.time)[at]
        edges = np.sort(time)[[len(time) * block // _BLOCKS for block in range(1, _BLOCKS)]]
        codes, words = np.searchsorted(edges, time, side="right"), f"block of {task.time}"
    else:
        return Clusters(np.arange(len(at)), "row")
    return Clusters(np.unique(codes, return_inverse=True)[1], words)


class Measure(NamedTuple):
    """How judged rows are measured.

    Args:
        metrics: The project's.
        task: The learned task.
        clusters: Which rows depend on each other.
    """

    metrics: MetricSet
    task: TrainingTask
    clusters: Clusters

    def whole(self, judged: Judged) -> dict[str, Any]:
        """Return the mean of each metric over the folds, and the 95% interval of those that have one."""
        mean = partial(judged.mean, self.metrics, self.task.task)
        ends = self.clusters.intervals(mean, self.task.seed)
        return {**mean(), "intervals": self.metrics.within(ends)}

    def folds(self, rows: pl.DataFrame, folds: Sequence[Fold], judged: Judged) -> list[dict[str, Any]]:
        """Return a record of each fold: its rows, its time where there is one, and its metrics."""
        table = []
        for number, (fold, values) in enumerate(
            zip(folds, judged.by_fold(self.metrics, self.task.task), strict=True), 1
        ):
            when = rows[self.task.time][fold.validation] if self.task.time else None
            span = {} if when is None else {"start": str(when.min()), "end": str(when.max())}
            counts = {"fold": number, "train": len(fold.train), "validation": len(fold.validation)}
            table.append({**counts, **span, **values})
        return table

    def gain(self, judged: Judged, rival: Judged, metric: str) -> dict[str, Any]:
        """Return by how much answers are better than others to the same rows, with the interval of the difference.

        `better` is true, or `worse`, where the whole interval is on that side: a paired test at 5%.
        """
        both = [partial(each.mean, self.metrics, self.task.task, only=[metric]) for each in (judged, rival)]

        def gain(times: np.ndarray | None) -> dict[str, float]:
            own, other = (mean(times).get(metric) for mean in both)
            return {} if own is None or other is None else {"gain": self.metrics.gain(metric, own, other)}

        values = {"metric": metric, "value": both[0]().get(metric), "rival": both[1]().get(metric), **gain(None)}
        ends = self.clusters.intervals(gain, self.task.seed).get("gain")
        if ends is None:
            return values
        return {**values, "low": ends[0], "high": ends[1], "better": ends[0] > 0, "worse": ends[1] < 0}

    def segments(self, columns: Mapping[str, pl.Series], judged: Judged, fewest: int) -> dict[str, Any]:
        """Return the metrics of each value of columns, over all folds together, and the interval of the main one.

        Args:
            columns: Column → its values in the judged rows.
            judged: The rows.
            fewest: Rows of a reported segment.
        """
        return {
            name: by_segment(column, partial(self._segment, judged), fewest=fewest) for name, column in columns.items()
        }

    def _segment(self, judged: Judged, at: np.ndarray) -> dict[str, Any]:
        part = judged.where(at)._replace(fold=np.zeros(len(at), dtype=np.int64))
        main = self.metrics.primary(self.task.task)
        ends = self.clusters.where(at).intervals(
            partial(part.mean, self.metrics, self.task.task, only=[main]), self.task.seed
        )
        return {
            **part.mean(self.metrics, self.task.task),
            "intervals": self.metrics.within(ends),
        }


def chance(subject: Subject, folds: Sequence[Fold], judged: Judged, metrics: MetricSet) -> dict[str, float]:
    """Return the metrics of a model that always answers with the shares, or the mean, of the training rows of its fold."""
    weights, classes = subject.weights, len(subject.classes)
    parts = [
        majority(
            subject.labels[fold.train],
            classes,
            len(fold.validation),
            None if weights is None else weights[fold.train],
        )
        for fold in folds
    ]
    main = next(iter(judged.outputs))
    return judged._replace(outputs={main: np.concatenate(parts)}).mean(metrics, subject.task.task)
