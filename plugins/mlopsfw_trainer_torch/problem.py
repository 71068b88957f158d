"""What to learn: plan, labels and rows, prepared in memory or for reading from the files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from mlopsfw.evaluation import class_codes
from mlopsfw.features import FeaturePlan
from mlopsfw.features.blocks import Part
from mlopsfw.features.fit import training_columns
from mlopsfw.features.labels import check_weights, classes_of, numbers, rows_with_label
from mlopsfw.features.size import plan_fits
from mlopsfw.features.survey import survey, survey_plan
from mlopsfw_trainer_torch.rows import Rows, Target, held_out, tensors
from mlopsfw_trainer_torch.streamed import Encoder, PlanFeatures, Streamed

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.features.blocks import Blocks
    from mlopsfw.features.survey import Survey
    from mlopsfw.roles import SignatureColumn, TrainingData, TrainingTask
    from mlopsfw_trainer_torch import TorchConfig
    from mlopsfw_trainer_torch.streamed import Features


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
    surveyed, plan = survey_plan(train, task, _columns(train, task), config.memory)
    return read_as_needed(surveyed, PlanFeatures(plan), task, valid, config)._replace(inputs=plan.inputs, plan=plan)


def read_as_needed(
    surveyed: Survey, features: Features, task: TrainingTask, valid: TrainingData | None, config: TorchConfig
) -> Problem:
    """Return the problem with rows that are read as they are needed; its signature and its plan are the caller's to add.

    It reads the validation rows once, and labels, times and weights again where rows are held out or classes weighted.

    Args:
        surveyed: What a pass over the training rows gathered.
        features: Makes the inputs of the network.
        task: Names the columns.
        valid: The rows to stop by.
        config: The trainer's configuration.

    Raises:
        DataError: The labels do not fit the task, or the validation rows do not fit the features.
    """
    encoder = Encoder(features, _surveyed_target(surveyed, task), task, (), torch.device("cpu"))
    learned, stopping = _divided(surveyed, encoder, valid, config)
    if config.class_weights == "balanced" and encoder.target.classes:
        encoder = replace(encoder, of_class=_class_weights(learned.blocks, encoder.target, task))
        learned = Streamed(learned.blocks, encoder, learned.sample)
    unlabelled = surveyed.data.rows - sum(surveyed.sizes)
    name = "valid" if valid is not None and valid.rows else "holdout"
    return Problem((), None, encoder.target, learned, stopping, unlabelled, name)


def _divided(
    surveyed: Survey, encoder: Encoder, valid: TrainingData | None, config: TorchConfig
) -> tuple[Streamed, Streamed | None]:
    """Return the rows to learn from, and those to stop by: the connected ones, or a share of the training rows."""
    task, every = encoder.task, Part(target=encoder.task.target)
    if valid is not None and valid.rows:
        names = [name for name in surveyed.sample.columns if name in valid.schema.names]
        checked = survey(valid, task, names, "validation", config.memory, each=_checks(encoder.features))
        return _rows(surveyed, every, encoder), _rows(checked, every, encoder)
    learned, held = surveyed.parts(task, 0.0 if config.patience == 0 else config.holdout)
    stopping = None if held is None else _rows(surveyed, held, encoder)
    if stopping is not None and not _weighs(stopping.blocks, task):
        return _rows(surveyed, every, encoder), None  # rows without weight tell nothing
    return _rows(surveyed, learned, encoder), stopping


def _checks(features: Features) -> Features | None:
    """Return what refuses rows before the training; a plan takes all rows."""
    return None if isinstance(features, PlanFeatures) else features


def _rows(surveyed: Survey, part: Part, encoder: Encoder) -> Streamed:
    return Streamed(surveyed.blocks(part), encoder, surveyed.rows_of(part))


def _surveyed_target(surveyed: Survey, task: TrainingTask) -> Target:
    if task.task == "regression":
        mean, spread = surveyed.target
        return Target(task.task, (), mean, spread or 1.0)
    return Target(task.task, surveyed.classes(task.task))


def _weighs(blocks: Blocks, task: TrainingTask) -> bool:
    """Return whether there is a row, and one that weighs something."""
    if not task.weight:
        return len(blocks) > 0
    frames = blocks.only([task.weight]).in_order()
    return any(bool(check_weights(frame[task.weight], some=False).any()) for frame in frames)


def _class_weights(blocks: Blocks, target: Target, task: TrainingTask) -> tuple[float, ...]:
    """Return for each class the weight of its rows that gives all classes the same total weight."""
    totals = np.zeros(len(target.classes))
    names = [task.target, *filter(None, [task.weight])]
    for frame in blocks.only(names).in_order():
        weights = check_weights(frame[task.weight], some=False) if task.weight else None
        totals += np.bincount(class_codes(frame[task.target], target.classes), weights, len(totals))
    return tuple((totals.sum() / (len(totals) * totals.clip(1e-12))).tolist())
