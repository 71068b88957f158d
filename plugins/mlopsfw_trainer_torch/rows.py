"""Rows as tensors: the whole table at once, so that a batch is one indexing operation without Python loops over rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from mlopsfw.evaluation import class_codes
from mlopsfw.features.labels import held_positions, numbers, row_weights
from mlopsfw.features.plan import CATEGORICAL, NUMERIC

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.features import FeaturePlan
    from mlopsfw.roles import TrainingTask


@dataclass(frozen=True, slots=True)
class Rows:
    """A table on the device.

    Args:
        inputs: What the network takes, each `[rows, …]`. Of a feature plan: float32 `[rows, k]`, and int64 codes `[rows, c]`.
        target: float32 `[rows, 1]` for binary (0, 1) and regression (standardised), int64 `[rows]` for multiclass.
        weight: float32 `[rows]`, or None for equal weights.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    weight: Tensor | None

    def __len__(self) -> int:
        return len(self.target)

    def at(self, index: Tensor) -> Self:
        """Return the rows at `index`."""
        weight = None if self.weight is None else self.weight[index]
        return type(self)(tuple(each[index] for each in self.inputs), self.target[index], weight)

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.target.device

    def digest(self) -> bytes:
        """Return the digest of the values."""
        digest = hashlib.sha256()
        for tensor in (*self.inputs, self.target, *([] if self.weight is None else [self.weight])):
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
        return digest.digest()

    def part(self, start: int, stop: int) -> Self:
        """Return the rows from `start` to `stop`, which share the memory of these."""
        weight = None if self.weight is None else self.weight[start:stop]
        return type(self)(tuple(each[start:stop] for each in self.inputs), self.target[start:stop], weight)

    def to(self, device: torch.device) -> Self:
        """Return the rows on `device`."""
        weight = None if self.weight is None else self.weight.to(device)
        return type(self)(tuple(each.to(device) for each in self.inputs), self.target.to(device), weight)


@dataclass(frozen=True, slots=True)
class Target:
    """How to turn labels into numbers.

    Args:
        task: `binary`, `multiclass` or `regression`.
        classes: Label values by code; empty for regression.
        mean, scale: The mean and spread that standardise a regression's target.
        quantiles: Levels of the quantiles of a regression's target that the network answers in place of the value.
    """

    task: str
    classes: tuple[str | int | bool, ...]
    mean: float = 0.0
    scale: float = 1.0
    quantiles: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        """Width of the network's output."""
        if self.quantiles:
            return len(self.quantiles)
        return len(self.classes) if self.task == "multiclass" else 1

    def encode(self, labels: pl.Series) -> Tensor:
        """Return labels as the network's target."""
        if self.task == "regression":
            return torch.from_numpy(((numbers(labels) - self.mean) / self.scale).astype(np.float32))[:, None]
        codes = torch.from_numpy(class_codes(labels, self.classes))
        return codes if self.task == "multiclass" else codes.to(torch.float32)[:, None]


def tensors(frame: pl.DataFrame, plan: FeaturePlan, target: Target, task: TrainingTask) -> Rows:
    """Return a table's rows as tensors on the CPU."""
    arrays = plan.polars(frame)
    none = np.empty((frame.height, 0))
    numeric = torch.from_numpy(arrays.get(NUMERIC, none.astype(np.float32)))
    codes = torch.from_numpy(arrays.get(CATEGORICAL, none.astype(np.int64)))
    return Rows((numeric, codes), target.encode(frame[task.target]), weights_of(frame, task))


def weights_of(frame: pl.DataFrame, task: TrainingTask) -> Tensor | None:
    """Return the weights of rows as float32 `[rows]`, or None for equal weights."""
    values = row_weights(frame, task)
    return None if values is None else torch.from_numpy(values)


def balanced(rows: Rows, classes: int) -> Rows:
    """Return the rows, weighted so that every class has the same total weight."""
    code = rows.target.reshape(-1).to(torch.int64)
    row_weight = torch.ones(len(code)) if rows.weight is None else rows.weight
    totals = torch.zeros(classes).index_add_(0, code, row_weight)
    weight = row_weight * (row_weight.sum() / (classes * totals.clamp_min(1e-12)))[code]
    return replace(rows, weight=weight)


def held_out(rows: Rows, times: pl.Series | None, count: int, seed: int) -> tuple[Rows, Rows | None]:
    """Return the rows to learn from, and `count` rows to stop by: the latest, or random ones without `times`; None for none."""
    if not count:
        return rows, None
    learned, held = map(torch.from_numpy, held_positions(len(rows), count, times, seed))
    stopping = rows.at(held)
    if stopping.weight is not None and not bool(stopping.weight.any()):
        return rows, None  # rows without weight tell nothing
    return rows.at(learned), stopping
