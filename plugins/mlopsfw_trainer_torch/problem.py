"""What to learn: plan, labels and rows, prepared in memory or for reading from the files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from mlopsfw.evaluation import class_codes
from mlopsfw.features import FeaturePlan
from mlopsfw.features.blocks import Blocks, Part
from mlopsfw.features.fit import training_columns
from mlopsfw.features.labels import check_weights, classes_of, numbers, rows_with_label
from mlopsfw.features.size import plan_fits
from mlopsfw.features.survey import survey, survey_plan
from mlopsfw_trainer_torch.rows import Rows, Target, held_out, tensors
from mlopsfw_trainer_torch.streamed import Encoder, Streamed

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.features.survey import Survey
    from mlopsfw.roles import SignatureColumn, TrainingData, TrainingTask
    from mlopsfw_trainer_torch import TorchConfig


class Problem(NamedTuple):
    """What to learn, prepared.

    Args:
        inputs: The columns of a request.
        plan: Makes features of them; None for a user's module.
        target: How labels become numbers.
        train, valid: The rows to learn from, and those to stop by.
        unlabelled: Rows that were skipped.
    """

    inputs: tuple[SignatureColumn, ...]
    plan: FeaturePlan | None
    target: Target
    train: Rows | Streamed
    valid: Rows | Streamed | None
    unlabelled: int
    validation: str = "valid"
    """The name of the rows that stop the training: `valid` if they were connected, `holdout` if they come out of the training rows."""


def target_of(frame: pl.DataFrame, task: TrainingTask) -> Target:
    """Return how the labels of the training rows become numbers. Raise `DataError` if they do not fit the task."""
    labels = frame[task.target]
    if task.task == "regression":
        values = numbers(labels)
        return Target(task.task, (), float(values.mean()), float(values.std()) or 1.0)
    return Target(task.task, classes_of(labels, task.task))


def prepare(task: TrainingTask, train: TrainingData, valid: TrainingData | None, config: TorchConfig) -> Problem:
    """Return the problem: with rows in memory, or read from the files where `memory` does not suffice for them.

    Raises:
        DataError: The rows are not usable for training.
        UsageError: An option of a column cannot be met.
    """
    if not plan_fits(train, valid, task, config.memory):
        return _streamed(task, train, valid, config)
    frame = rows_with_label(train, task, _columns(train, task), "training")
    plan = FeaturePlan.fit(frame, task)
    target = target_of(frame, task)
    rows = tensors(frame, plan, target, task)
    unlabelled = train.rows - frame.height
    if valid is not None and valid.rows:
        checked = rows_with_label(valid, task, valid.schema.names, "validation")
        return Problem(plan.inputs, plan, target, rows, tensors(checked, plan, target, task), unlabelled)
    times = frame[task.time] if task.time in frame.columns else None
    held = 0 if config.patience == 0 else int(config.holdout * frame.height)
    return Problem(plan.inputs, plan, target, *held_out(rows, times, held, task.seed), unlabelled, "holdout")


def _columns(data: TrainingData, task: TrainingTask) -> list[str]:
    """Return the columns to read: those of the training, and the time where there is one."""
    columns = training_columns(data.schema.names, task)
    return [*columns, task.time] if task.time in data.schema.names and task.time not in columns else columns


# -- rows that do not fit into memory ------------------------------------------------------------------------------------


def _streamed(task: TrainingTask, train: TrainingData, valid: TrainingData | None, config: TorchConfig) -> Problem:
    """Return the problem with rows that are read as they are needed.

    It reads the table once, and its labels, times and weights again where rows are held out or classes weighted.
    """
    surveyed, plan = survey_plan(train, task, _columns(train, task))
    target = _surveyed_target(surveyed, task)
    encoder = Encoder(plan, target, task, (), torch.device("cpu"))
    connected = valid if valid is not None and valid.rows else None
    share = 0.0 if connected is not None or config.patience == 0 else config.holdout
    learned, held = surveyed.parts(task, share)
    stopping = None
    if connected is not None:
        checked = survey(connected, task, _columns_there(connected, train, task), "validation")
        stopping = _rows(checked, Part(target=task.target), encoder)
    elif held is not None:
        stopping = _rows(surveyed, held, encoder)
        if not _weighs(stopping.blocks, task):
            learned, stopping = Part(target=task.target), None  # rows without weight tell nothing
    rows = _rows(surveyed, learned, encoder)
    if config.class_weights == "balanced" and target.classes:
        encoder = replace(encoder, of_class=_class_weights(rows.blocks, target, task))
        rows = Streamed(rows.blocks, encoder, rows.sample)
    unlabelled = train.rows - sum(surveyed.sizes)
    return Problem(plan.inputs, plan, target, rows, stopping, unlabelled, "holdout" if connected is None else "valid")


def _rows(surveyed: Survey, part: Part, encoder: Encoder) -> Streamed:
    return Streamed(surveyed.blocks(part), encoder, surveyed.rows_of(part))


def _surveyed_target(surveyed: Survey, task: TrainingTask) -> Target:
    if task.task == "regression":
        mean, spread = surveyed.target
        return Target(task.task, (), mean, spread or 1.0)
    return Target(task.task, surveyed.classes(task.task))


def _columns_there(valid: TrainingData, train: TrainingData, task: TrainingTask) -> list[str]:
    return [name for name in _columns(train, task) if name in valid.schema.names]


def _weighs(blocks: Blocks, task: TrainingTask) -> bool:
    """Return whether there is a row, and one that weighs something."""
    if not task.weight:
        return len(blocks) > 0
    frames = Blocks(blocks.data, [task.weight], blocks.part, blocks.sizes).in_order()
    return any(bool(check_weights(frame[task.weight], some=False).any()) for frame in frames)


def _class_weights(blocks: Blocks, target: Target, task: TrainingTask) -> tuple[float, ...]:
    """Return for each class the weight of its rows that gives all classes the same total weight."""
    totals = np.zeros(len(target.classes))
    names = [task.target, *filter(None, [task.weight])]
    for frame in Blocks(blocks.data, names, blocks.part, blocks.sizes).in_order():
        weights = check_weights(frame[task.weight], some=False) if task.weight else None
        totals += np.bincount(class_codes(frame[task.target], target.classes), weights, len(totals))
    return tuple((totals.sum() / (len(totals) * totals.clip(1e-12))).tolist())
