"""One pass over the rows of a training that does not fit into memory: what its plan, its labels and its measures need of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np
import polars as pl

from mlopsfw.features.blocks import Blocks, Part, all_blocks
from mlopsfw.features.derive import with_derived
from mlopsfw.features.fit import ColumnWish, choose, is_category, plan_of, read_wishes, reads
from mlopsfw.features.labels import check_target, check_weights, classes_of, numbers
from mlopsfw.features.summary import GrowingColumn
from mlopsfw.features.tables import column_type
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    from mlopsfw.features.fit import Chosen
    from mlopsfw.features.plan import FeaturePlan
    from mlopsfw.kernel.roles.training import TrainingData, TrainingTask

SAMPLED: Final = 1 << 18
"""Rows that stand for all where an exact answer would need all of them at once: quantiles, and metrics of the trained model."""


class Survey(NamedTuple):
    """What a pass over the rows with a label gathers.

    Args:
        data: The table.
        sizes: Their number in each block.
        sample: At most `SAMPLED` rows and one a block, the same share of each block, in the order of the table.
        positions: The position in the table of each row of the sample.
        labels: The distinct labels.
        target: Mean and standard deviation of a regression's labels.
    """

    data: TrainingData
    sizes: tuple[int, ...]
    sample: pl.DataFrame
    positions: np.ndarray
    labels: pl.Series
    target: tuple[float, float]

    def classes(self, task: str) -> tuple[str | int | bool, ...]:
        """Return the classes in order. Raise `DataError` if the labels are none."""
        return classes_of(self.labels, task)

    def parts(self, task: TrainingTask, share: float) -> tuple[Part, Part | None]:
        """Return the rows to learn from, and a share of them to hold out, if any: the latest where rows have a time, else random ones."""
        if not int(share * sum(self.sizes)):
            return Part(target=task.target), None
        part = Part(target=task.target, which="held", share=share, seed=task.seed)
        if task.time and task.time in self.sample.columns:
            times = self.sample[task.time].to_physical().sort(nulls_last=False)
            until = times[len(times) - 1 - int(share * len(times))]
            if until is not None and times[-1] > until:
                part = msgspec.structs.replace(part, time=task.time, until=until)
        return msgspec.structs.replace(part, which="learned"), part

    def blocks(self, part: Part) -> Blocks:
        """Return the rows of a part. Reads the columns that decide, where it is not all rows."""
        sizes = self.sizes if part.which == "all" else _sizes(self.data, part)
        return Blocks(self.data, self.sample.columns, part, sizes)

    def rows_of(self, part: Part) -> pl.DataFrame:
        """Return the sample's rows of a part."""
        if part.which == "all":
            return self.sample
        return self.sample.filter(part.held(self.sample, self.positions) == (part.which == "held"))


def survey(data: TrainingData, task: TrainingTask, columns: Sequence[str], which: str) -> Survey:
    """Return what one pass over the rows with a label gathers.

    Args:
        data: The table.
        task: Names target and weights.
        columns: The columns to read.
        which: Which rows these are, for messages: `training`, `validation`.

    Raises:
        DataError: No row has a label, or labels or weights do not fit.
    """
    return _survey_blocks(data, task, columns, None).result(which)


def survey_plan(data: TrainingData, task: TrainingTask, columns: Sequence[str]) -> tuple[Survey, FeaturePlan]:
    """Return the survey of training rows, and their feature plan.

    The plan is that of `FeaturePlan.fit`, but for the order of sums, and for the quantiles of more than `SAMPLED` rows, which are those of the
    sample.

    Args:
        data: The table.
        task: Names target, weights and features.
        columns: The columns to read.

    Raises:
        DataError: No row has a label, or the rows are not usable for training.
        UsageError: An option of a column cannot be met.
    """
    chosen = choose(data.schema.names, task)
    surveyed, summaries = survey_columns(data, task, columns)
    sample = surveyed.sample
    if chosen.derived:
        sample = with_derived(sample, chosen.derived, reads(chosen.derived))
    for name, summary in summaries.items():
        summary.sample(sample[name])
    return surveyed, plan_of(chosen, task, sample.schema, summaries)


def survey_columns(
    data: TrainingData, task: TrainingTask, columns: Sequence[str]
) -> tuple[Survey, dict[str, GrowingColumn]]:
    """Return the survey of training rows, and the summary of each column to learn from. Raise as `survey` does."""
    gathering = _survey_blocks(data, task, columns, choose(data.schema.names, task))
    return gathering.result("training"), gathering.summaries


def _survey_blocks(data: TrainingData, task: TrainingTask, columns: Sequence[str], chosen: Chosen | None) -> _Gathering:
    gathering = _Gathering(data, task, chosen)
    for first, frame in all_blocks(data, columns):
        gathering.add(frame, first)
    return gathering


class _Gathering:
    def __init__(self, data: TrainingData, task: TrainingTask, chosen: Chosen | None) -> None:
        check_target(data, task, "training" if chosen else "validation")
        self._data, self._task, self._chosen = data, task, chosen
        self._wishes = read_wishes(task)
        self._part = Part(target=task.target)
        self._share = min(1.0, SAMPLED / max(1, data.rows))
        self._sizes: list[int] = []
        self._samples: list[pl.DataFrame] = []
        self._positions: list[np.ndarray] = []
        self._labels: list[pl.Series] = []
        self._target = GrowingColumn(texts=False, numbers=True)
        self.summaries: dict[str, GrowingColumn] = {}
        self._weighed = False

    def add(self, frame: pl.DataFrame, first: int) -> None:
        mask = self._part.mask(frame, np.empty(0))
        rows, at = frame.filter(mask), first + np.flatnonzero(mask.to_numpy())
        self._sizes.append(rows.height)
        self._add_labels(rows)
        chosen = self._drawn(rows.height, len(self._sizes))
        self._samples.append(rows[chosen])
        self._positions.append(at[chosen])
        if self._chosen is not None:
            self._add_columns(rows, self._chosen)

    def _drawn(self, rows: int, block: int) -> np.ndarray:
        """Return which rows of a block are sampled."""
        draw = np.random.Generator(np.random.PCG64([self._task.seed % (1 << 64), block]))
        count = min(rows, max(1, round(self._share * rows))) if self._share < 1 else rows
        drawn: np.ndarray = np.sort(draw.permutation(rows)[:count])
        return drawn

    def _add_labels(self, rows: pl.DataFrame) -> None:
        task, labels = self._task, rows[self._task.target]
        if task.task == "regression":
            numbers(labels)
            self._target.add(labels)
        else:
            self._labels = [pl.concat([*self._labels, labels.unique()]).unique()]
        if task.weight in rows.columns and task.weight:
            self._weighed |= bool(check_weights(rows[task.weight], some=False).any())

    def _add_columns(self, rows: pl.DataFrame, chosen: Chosen) -> None:
        if chosen.derived:
            rows = with_derived(rows, chosen.derived, reads(chosen.derived))
        for name in chosen.all:
            if name not in self.summaries:
                self.summaries[name] = self._summary(rows[name], learned=name in chosen.names)
            self.summaries[name].add(rows[name])

    def _summary(self, series: pl.Series, *, learned: bool) -> GrowingColumn:
        kind, wish = column_type(series.dtype) or "", self._wishes.get(series.name, ColumnWish())
        texts = is_category(kind, wish)
        return GrowingColumn(
            texts=learned and texts and not wish.buckets,
            numbers=learned and not texts and kind in ("number", "integer"),
        )

    def result(self, which: str) -> Survey:
        task = self._task
        if not sum(self._sizes):
            raise DataError(f"none of the {self._data.rows} {which} rows has a label in {task.target!r}")
        if task.weight and task.weight in self._samples[0].columns and not self._weighed:
            raise DataError(f"the weights in {task.weight!r} must be finite, not negative, and not all zero")
        sample = pl.concat(self._samples)
        labels = self._labels[0] if self._labels else sample[task.target][:0]
        return Survey(
            self._data, tuple(self._sizes), sample, np.concatenate(self._positions), labels, self._target.moments
        )


def _sizes(data: TrainingData, part: Part) -> tuple[int, ...]:
    """Return how many rows of each block belong to a part. Only the columns that decide are read."""
    sizes = []
    for first, frame in all_blocks(data, part.reads):
        positions = np.arange(first, first + frame.height)
        sizes.append(int(part.mask(frame, positions).sum()))
    return tuple(sizes)
