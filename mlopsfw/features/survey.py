"""One pass over the rows of a training that does not fit into memory: what its plan, its labels and its measures need of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np
import polars as pl

from mlopsfw.features.blocks import Blocks, Part, all_blocks
from mlopsfw.features.derive import with_derived
from mlopsfw.features.fit import ColumnWish, choose, is_category, plan_of, read_wishes, reads
from mlopsfw.features.labels import check_target, check_weights, classes_of, numbers
from mlopsfw.features.size import room_of
from mlopsfw.features.summary import GrowingColumn, detached
from mlopsfw.features.tables import column_type
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    from mlopsfw.features.fit import Chosen
    from mlopsfw.features.plan import FeaturePlan
    from mlopsfw.features.size import Room
    from mlopsfw.kernel.roles.training import TrainingData, TrainingTask

SAMPLED: Final = 1 << 18
"""Rows that stand for all where an exact answer would need all of them at once: quantiles, and metrics of the trained model."""


Look = Callable[[pl.DataFrame], object]


class Survey(NamedTuple):
    """What a pass over the rows with a label gathers.

    Args:
        data: The table.
        sizes: Their number in each block.
        block: Rows of the table in a block.
        sample: At most `SAMPLED` rows and one a block, fewer of wide rows, the same share of each block, in the order of the table.
        positions: The position in the table of each row of the sample.
        labels: The distinct labels.
        target: Mean and standard deviation of a regression's labels.
    """

    data: TrainingData
    sizes: tuple[int, ...]
    block: int
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
        sizes = self.sizes if part.which == "all" else _sizes(self.data, part, self.block)
        return Blocks(self.data, self.sample.columns, part, sizes, self.block)

    def rows_of(self, part: Part) -> pl.DataFrame:
        """Return the sample's rows of a part."""
        if part.which == "all":
            return self.sample
        return self.sample.filter(part.held(self.sample, self.positions) == (part.which == "held"))


def survey(
    data: TrainingData,
    task: TrainingTask,
    columns: Sequence[str],
    which: str,
    memory: str = "",
    *,
    each: Look | None = None,
) -> Survey:
    """Return what one pass over the rows with a label gathers.

    Args:
        data: The table.
        task: Names target and weights.
        columns: The columns to read.
        which: Which rows these are, for messages: `training`, `validation`.
        memory: What the rows may take, such as `4GiB`; empty for a quarter of the machine's.
        each: Is called with the rows of each block.

    Raises:
        DataError: No row has a label, or labels or weights do not fit.
        UsageError: `memory` is no size.
    """
    gathering = _Gathering(data, task, room_of(data, columns, memory), which, each)
    return gathering.read(columns)


def survey_plan(
    data: TrainingData, task: TrainingTask, columns: Sequence[str], memory: str = ""
) -> tuple[Survey, FeaturePlan]:
    """Return the survey of training rows, and their feature plan.

    The plan is that of `FeaturePlan.fit`, but for the order of sums, and for the quantiles of more than `SAMPLED` rows, which are those of the
    sample.

    Args:
        data: The table.
        task: Names target, weights and features.
        columns: The columns to read.
        memory: What the rows may take.

    Raises:
        DataError: No row has a label, or the rows are not usable for training.
        UsageError: An option of a column cannot be met.
    """
    chosen = choose(data.schema.names, task)
    surveyed, summaries = survey_columns(data, task, columns, memory)
    sample = surveyed.sample
    if chosen.derived:
        sample = with_derived(sample, chosen.derived, reads(chosen.derived))
    return surveyed, plan_of(chosen, task, sample.schema, summaries)


def survey_columns(
    data: TrainingData, task: TrainingTask, columns: Sequence[str], memory: str
) -> tuple[Survey, dict[str, GrowingColumn]]:
    """Return the survey of training rows, and the summary of each column to learn from. Raise as `survey` does."""
    looked = _Columns(choose(data.schema.names, task), task)
    surveyed = survey(data, task, columns, "training", memory, each=looked.add)
    looked.sample(surveyed.sample)
    return surveyed, looked.summaries


class _Columns:
    """The summaries of columns, gathered block by block."""

    def __init__(self, chosen: Chosen, task: TrainingTask) -> None:
        self._chosen, self._wishes = chosen, read_wishes(task)
        self.summaries: dict[str, GrowingColumn] = {}

    def add(self, rows: pl.DataFrame) -> None:
        rows = self._derived(rows)
        for name in self._chosen.all:
            if name not in self.summaries:
                self.summaries[name] = self._summary(rows[name], learned=name in self._chosen.names)
            self.summaries[name].add(rows[name])

    def sample(self, rows: pl.DataFrame) -> None:
        rows = self._derived(rows)
        for name, summary in self.summaries.items():
            summary.sample(rows[name])

    def _derived(self, rows: pl.DataFrame) -> pl.DataFrame:
        derived = self._chosen.derived
        return with_derived(rows, derived, reads(derived)) if derived else rows

    def _summary(self, series: pl.Series, *, learned: bool) -> GrowingColumn:
        kind, wish = column_type(series.dtype) or "", self._wishes.get(series.name, ColumnWish())
        texts = is_category(kind, wish)
        return GrowingColumn(
            texts=learned and texts and not wish.buckets,
            numbers=learned and not texts and kind in ("number", "integer"),
        )


class _Gathering:
    def __init__(self, data: TrainingData, task: TrainingTask, room: Room, which: str, each: Look | None) -> None:
        check_target(data, task, which)
        self._data, self._task, self._block, self._which, self._each = data, task, room.block, which, each
        self._part = Part(target=task.target)
        self._share = min(1.0, min(SAMPLED, room.sample) / max(1, data.rows))
        self._sizes: list[int] = []
        self._samples: list[pl.DataFrame] = []
        self._positions: list[np.ndarray] = []
        self._labels: list[pl.Series] = []
        self._target = GrowingColumn(texts=False, numbers=True)
        self._weighed = False

    def read(self, columns: Sequence[str]) -> Survey:
        for first, frame in all_blocks(self._data, columns, self._block):
            self.add(frame, first)
        return self.result()

    def add(self, frame: pl.DataFrame, first: int) -> None:
        mask = self._part.mask(frame, np.empty(0))
        rows, at = frame.filter(mask), first + np.flatnonzero(mask.to_numpy())
        self._sizes.append(rows.height)
        self._add_labels(rows)
        chosen = self._drawn(rows.height, len(self._sizes))
        self._samples.append(pl.DataFrame([detached(column) for column in rows[chosen]]))
        self._positions.append(at[chosen])
        if self._each is not None:
            self._each(rows)

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
            self._labels = [pl.concat([*self._labels, detached(labels.unique())]).unique()]
        if task.weight in rows.columns and task.weight:
            self._weighed |= bool(check_weights(rows[task.weight], some=False).any())

    def result(self) -> Survey:
        task = self._task
        if not sum(self._sizes):
            raise DataError(f"none of the {self._data.rows} {self._which} rows has a label in {task.target!r}")
        if task.weight and task.weight in self._samples[0].columns and not self._weighed:
            raise DataError(f"the weights in {task.weight!r} must be finite, not negative, and not all zero")
        sample = pl.concat(self._samples)
        labels = self._labels[0] if self._labels else sample[task.target][:0]
        positions = np.concatenate(self._positions)
        return Survey(self._data, tuple(self._sizes), self._block, sample, positions, labels, self._target.moments)


def _sizes(data: TrainingData, part: Part, block: int) -> tuple[int, ...]:
    """Return how many rows of each block belong to a part. Only the columns that decide are read."""
    sizes = []
    for first, frame in all_blocks(data, part.reads, block):
        positions = np.arange(first, first + frame.height)
        sizes.append(int(part.mask(frame, positions).sum()))
    return tuple(sizes)
