"""`Trial`: one trial as the report and the listing show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.run.child import Child

OUTPUT = "search"
"""The output of a trial, and of its step."""


class Trial(msgspec.Struct, kw_only=True):
    """One trial.

    Args:
        number: From 0.
        params: `trainer`, its options as `TRAINER.OPTION`, and `features`.
        status: `running`, `done`, `cached`, `pruned`, `failed` or `stopped`.
        value: The mean of the metric over the folds; None where it has none, or not all folds.
        kept: Whether it keeps the limits.
        folds: The metrics of each fold.
        seconds: How long it took.
        why: Why it failed, or was stopped.
    """

    number: int
    params: dict[str, Any]
    status: str = "running"
    value: float | None = None
    kept: bool = True
    folds: list[dict[str, float]] = []
    seconds: float = 0.0
    why: str = ""


def mean_of(folds: Sequence[dict[str, float]], metric: str) -> float | None:
    """Return the mean of a metric over the folds in which it is defined; None where it is defined in none."""
    values = [each[metric] for each in folds if metric in each]
    return sum(values) / len(values) if values else None


def is_pruned(made: Mapping[str, Any]) -> bool:
    """Return whether what a trial returned is that of one that was stopped early."""
    return bool(made.get("pruned"))


def trials_of(children: Iterable[Child], load: Callable[[Artifact], Any], metric: str) -> list[Trial]:
    """Return the trials that children of a step made.

    Args:
        children: Of the step.
        load: Returns a stored value.
        metric: What the search compares by.
    """
    trials = []
    for child in children:
        made = load(child.outputs[OUTPUT]) if child.outputs else {}
        folds = made.get("folds", [])
        status = "stopped" if child.failure.startswith("Stopped:") else "pruned" if is_pruned(made) else child.status
        trials.append(
            Trial(
                number=child.number,
                params=load(child.given),
                status=status,
                value=None if is_pruned(made) else mean_of(folds, metric),
                folds=folds,
                seconds=child.seconds,
                why=child.failure,
            )
        )
    return trials
