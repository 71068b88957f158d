"""Rows that do not fit into memory: read from the table's files and encoded ahead of their use, in threads beside the training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
import numpy as np
import polars as pl
import torch
from torch import Tensor

from mlopsfw.features.labels import check_weights
from mlopsfw.features.plan import CATEGORICAL, NUMERIC
from mlopsfw.features.tables import table_arrays
from mlopsfw.formats import in_order
from mlopsfw_trainer_torch.rows import Rows

if TYPE_CHECKING:
    from mlopsfw.features import FeaturePlan
    from mlopsfw.features.blocks import Blocks
    from mlopsfw.roles import TrainingTask
    from mlopsfw_trainer_torch.rows import Target

_FEW = 8192


class Features(Protocol):
    """Makes what a network takes of the rows of a table. Holds no state; a thread may use it."""

    @property
    def chunk(self) -> int:
        """How many rows to encode together."""

    def __call__(self, frame: pl.DataFrame) -> tuple[Tensor, ...]:
        """Return the inputs of rows, each `[rows, …]`."""


class PlanFeatures(NamedTuple):
    """The features of a plan.

    Args:
        plan: The feature plan.
    """

    plan: FeaturePlan

    @property
    def chunk(self) -> int:
        """Few enough rows for the caches of a processor."""
        return 2048

    def __call__(self, frame: pl.DataFrame) -> tuple[Tensor, ...]:
        """Return the plan's floats and codes."""
        arrays = self.plan.apply(table_arrays(frame, self.plan.inputs))
        none = np.empty((frame.height, 0))
        numeric = torch.from_numpy(arrays.get(NUMERIC, none.astype(np.float32)))
        return numeric, torch.from_numpy(arrays.get(CATEGORICAL, none.astype(np.int64)))


@dataclass(frozen=True, slots=True)
class Encoder:
    """Makes tensors of a part of a table. Holds no state; a thread may use it.

    Args:
        features: Makes the inputs of the network.
        target: How labels become numbers.
        task: Names target and weights.
        of_class: Weights of the classes, or empty.
        device: Where the tensors lie.
    """

    features: Features
    target: Target
    task: TrainingTask
    of_class: tuple[float, ...]
    device: torch.device

    def __call__(self, frame: pl.DataFrame) -> Rows:
        """Return the rows of a part as tensors."""
        target = self.target.encode(frame[self.task.target])
        return Rows(self.features(frame), target, self._weights(frame, target)).to(self.device)

    def _weights(self, frame: pl.DataFrame, target: Tensor) -> Tensor | None:
        weight = None
        if self.task.weight and self.task.weight in frame.columns:
            weight = torch.from_numpy(check_weights(frame[self.task.weight], np.float32, some=False))
        if not self.of_class:
            return weight
        of_row = torch.tensor(self.of_class)[target.reshape(-1).to(torch.int64)]
        return of_row if weight is None else of_row * weight


class Streamed:
    """The rows of a part of a table, encoded as a training comes to them.

    Args:
        blocks: Reads them.
        encoder: Encodes them.
        sample: Rows that stand for all of them where the trained network is measured.
    """

    def __init__(self, blocks: Blocks, encoder: Encoder, sample: pl.DataFrame) -> None:
        self.blocks, self.encoder, self.sample = blocks, encoder, sample

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.encoder.device

    def to(self, device: torch.device) -> Streamed:
        """Return the rows on `device`."""
        return Streamed(self.blocks, replace(self.encoder, device=device), self.sample)

    def digest(self) -> bytes:
        """Return the digest of what decides the values."""
        blocks = self.blocks
        return msgspec.json.encode(
            [blocks.data.digest, blocks.columns, blocks.part, blocks.sizes, self.encoder.of_class]
        )

    def batches(self, order: Order, start: int) -> Iterator[Rows]:
        """Yield the batches of an epoch from `start` on. What is left over joins the last one."""
        rows, each = len(self) // order.shard[1], max(1, self.encoder.features.chunk // order.size)
        firsts = range(start, order.batches, each)
        bounds = [*(first * order.size for first in firsts), rows]
        frames = self.blocks.shuffled(order.seed, order.epoch, order.shard, start * order.size)
        for first, chunk in zip(firsts, self._encoded(frames, bounds), strict=True):
            last = min(first + each, order.batches) - 1
            for number in range(first, last + 1):
                at = (number - first) * order.size
                yield chunk.part(at, len(chunk) if number == last else at + order.size)

    def in_order(self, shard: tuple[int, int] = (0, 1)) -> Iterator[Rows]:
        """Yield the rows in the order of the table."""
        return self._encoded(self.blocks.in_order(shard), self._bounds(len(self) // shard[1]))

    def measured(self) -> Iterator[Rows]:
        """Yield the sample, with the weights of rows alone: those of classes are for learning."""
        lengths = (stop - first for first, stop in pairwise(self._bounds(self.sample.height)))
        return in_order(replace(self.encoder, of_class=()), _cut(iter([self.sample]), lengths), threads=1)

    def few(self, count: int) -> Rows:
        """Return at most `count` rows from all over the sample."""
        return self.encoder(self.sample[:: -(-self.sample.height // count)])

    def _bounds(self, rows: int) -> list[int]:
        return [*range(0, rows, self.encoder.features.chunk), rows]

    def _encoded(self, frames: Iterator[pl.DataFrame], bounds: Sequence[int]) -> Iterator[Rows]:
        lengths = (stop - first for first, stop in pairwise(bounds))
        return in_order(self.encoder, _cut(frames, lengths), threads=1)


class Order(NamedTuple):
    """The batches of an epoch.

    Args:
        seed: Seeds the order of rows.
        epoch: From 0.
        size: Rows in a batch, of this process.
        batches: Their number.
        shard: Rank, and the number of processes.
    """

    seed: int
    epoch: int
    size: int
    batches: int
    shard: tuple[int, int]


def few(rows: Rows | Streamed, count: int = _FEW) -> Rows:
    """Return rows in memory that stand for all; `count` of them, at most, where not all are there."""
    return rows.few(count) if isinstance(rows, Streamed) else rows


def measured(rows: Rows | Streamed) -> Iterator[Rows]:
    """Yield the rows that metrics are computed of: all that are in memory, else a sample."""
    return rows.measured() if isinstance(rows, Streamed) else iter([rows])


def measured_rows(rows: Rows | Streamed) -> int:
    """Return how many rows `measured` yields."""
    return rows.sample.height if isinstance(rows, Streamed) else len(rows)


def _cut(frames: Iterator[pl.DataFrame], lengths: Iterable[int]) -> Iterator[pl.DataFrame]:
    """Yield parts of the given lengths."""
    waiting: pl.DataFrame | None = None
    for length in lengths:
        while waiting is None or waiting.height < length:
            following = next(frames)
            waiting = following if waiting is None or not waiting.height else pl.concat([waiting, following])
        yield waiting[:length]
        waiting = waiting[length:]
