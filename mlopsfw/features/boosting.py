"""The training of boosted trees, whichever library grows them: rows that learn and rows that stop, losses by round, files and facts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from mlopsfw.features.encoded import Columns, MatrixBlocks, Rows, held_out, row_count, rows_of_trees, sample_of
from mlopsfw.features.encoding import FILE, attributions
from mlopsfw.kernel.roles.bundle import QUANTILE_OUTPUT

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from mlopsfw.kernel.roles.training import TrainingContext, TrainingData, TrainingTask

B = TypeVar("B")
Sets = dict[str, Rows | MatrixBlocks]

_EXPLAINED = 2048  # rows


class Problem(NamedTuple):
    """What trees are to answer.

    Args:
        task: The task.
        columns: How columns are encoded.
        quantile: The level of a quantile in place of the task's own answer.
    """

    task: TrainingTask
    columns: Columns
    quantile: float | None = None

    @property
    def prefix(self) -> str:
        """What stands before the names of its losses."""
        return "" if self.quantile is None else f"{QUANTILE_OUTPUT.format(self.quantile)}_"

    def report(self, context: TrainingContext, step: int, rounds: int, losses: Mapping[str, float]) -> None:
        """Log the losses of a round by set, as far as they are finite, and the progress.

        Args:
            context: Of the training.
            step: The round, from 1.
            rounds: How many there are at most.
            losses: Set → loss.
        """
        for name, value in losses.items():
            if math.isfinite(value):
                context.log_metric(f"{self.prefix}{name}_loss", value, step)
        what = f"{self.prefix.rstrip('_')}: " if self.prefix else ""
        context.progress(f"{what}round {step} of at most {rounds}", step / rounds)


def prepare(
    task: TrainingTask,
    train: TrainingData,
    valid: TrainingData | None,
    context: TrainingContext,
    *,
    memory: str,
    holdout: float,
) -> tuple[Columns, Sets, Sets]:
    """Return how columns are encoded, the rows, and the rows to find the number of rounds with, where some are held out for that.

    Args:
        task: Names the columns.
        train: The rows to learn from.
        valid: Those to stop by.
        context: Of the training.
        memory: What the rows may take; see `mlopsfw.features.size`.
        holdout: The share of the training rows to hold out where there is no `valid`; 0 for none.

    Returns:
        The encoding; `train`, and `valid` if there is one; and `train` without the rows that are held out, with these as `valid`, or nothing.

    Raises:
        DataError: The rows are not usable for training.
        UsageError: An option of a column does not fit.
    """
    context.progress("preparing rows", 0.0)
    columns, sets = rows_of_trees(train, valid, task, memory)
    rows = sets["train"]
    if isinstance(rows, MatrixBlocks):
        context.log_metric("streamed_rows", len(rows))
    learned, held = held_out(rows, train, task, holdout) if holdout and "valid" not in sets else (rows, None)
    return columns, sets, {} if held is None else {"train": learned, "valid": held}


def write_files(
    boosters: Mapping[str, B], save: Callable[[B, Path], object], columns: Columns, folder: Path
) -> dict[str, Path]:
    """Save trees by the names of their files, and the encoding beside them; return where each file is."""
    files = {name: folder / name for name in (*boosters, FILE)}
    for name, booster in boosters.items():
        save(booster, files[name])
    files[FILE].write_bytes(msgspec.json.encode(columns.encodings))
    return files


def facts_of(
    columns: Columns, sets: Sets, stopping: Sets, gains: list[float], contributions: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Any]:
    """Return the facts of a training of trees.

    Args:
        columns: How columns are encoded.
        sets: The rows, as `prepare` returned them.
        stopping: Those to find the number of rounds with, likewise.
        gains: The gain of all splits by each column.
        contributions: Returns what each column contributes to the answers to rows, for `attributions`, which are computed when they are asked for.
    """
    total, rows, checked = sum(gains) or 1.0, sets["train"], sets.get("valid", stopping.get("valid"))
    shares = {each.name: gain / total for each, gain in zip(columns.inputs, gains, strict=True)}
    return {
        "rows": row_count(rows),
        "validation_rows": 0 if checked is None else row_count(checked),
        "streamed": isinstance(rows, MatrixBlocks),
        "importance": dict(sorted(shares.items(), key=lambda share: -share[1])),
        "attributions": lambda: attributions(  # takes several times as long as the training
            columns.encodings, contributions(sample_of(rows).numbers[:_EXPLAINED])
        ),
    }
