"""`Trial`: one trial as the report and the listing show it; `Values`: what a trial has measured so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.run.child import Child

OUTPUT = "search"
"""The output of a trial, and of its step."""


QUARTERS = 4
"""A pruner compares the losses of a training at its quarters."""
_FILE = "values.json"


class Values(msgspec.Struct):
    """What a trial has measured so far. It lies among the trial's checkpoints, where the search reads it.

    Args:
        folds: The metrics of each fold that is done.
        losses: `(step, loss)`: the validation loss that the trainer logged at a quarter of a training, as the first, second or third quarter
            has passed. Steps count quarters of trainings, so fold 1 ends at step 4.
    """

    folds: list[dict[str, float]] = []
    losses: list[tuple[int, float]] = []

    @classmethod
    def of(cls, folder: Path) -> Values:
        """Return what a trial has kept in the folder of its checkpoints."""
        file = folder / _FILE
        return msgspec.json.decode(file.read_bytes(), type=cls) if file.exists() else cls()

    def keep(self, folder: Path) -> None:
        """Write it. A trial that is killed meanwhile leaves what it wrote before."""
        part = folder / f"{_FILE}.part"
        part.write_bytes(msgspec.json.encode(self))
        part.replace(folder / _FILE)

    def passed(self, fold: int, share: float, loss: float) -> bool:
        """Add a loss at a share of the training of a fold, from 1; return whether a quarter has passed since the last one."""
        quarter = min(int(share * QUARTERS), QUARTERS - 1)
        step = QUARTERS * (fold - 1) + quarter
        if not quarter or step <= max((at for at, _ in self.losses), default=0):
            return False
        self.losses.append((step, loss))
        return True

    def steps(self, metric: str, *, maximize: bool) -> dict[int, float]:
        """Return the values that a pruner compares, by step: the mean of a metric over the folds so far, and between them losses.

        Args:
            metric: The metric.
            maximize: Whether more of it is better: then a loss counts as its negative.
        """
        values = {step: -loss if maximize else loss for step, loss in self.losses}
        for count in range(1, len(self.folds) + 1):
            if (value := mean_of(self.folds[:count], metric)) is not None:
                values[QUARTERS * count] = value
        return dict(sorted(values.items()))


class Trial(msgspec.Struct, kw_only=True):
    """One trial.

    Args:
        number: From 0.
        params: `trainer`, its options as `TRAINER.OPTION`, and `features`.
        status: `running`, `done`, `cached`, `pruned`, `failed` or `stopped`.
        value: The mean of the metric over the folds; None where it has none, or not all folds.
        kept: Whether it keeps the limits.
        folds: The metrics of each fold.
        losses: Validation losses within the trainings, as in `Values`.
        seconds: How long it took.
        why: Why it failed, or was stopped.
    """

    number: int
    params: dict[str, Any]
    status: str = "running"
    value: float | None = None
    kept: bool = True
    folds: list[dict[str, float]] = []
    losses: list[tuple[int, float]] = []
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
        status = "pruned" if is_pruned(made) else child.status
        trials.append(
            Trial(
                number=child.number,
                params=load(child.given),
                status=status,
                value=None if is_pruned(made) else mean_of(folds, metric),
                folds=folds,
                losses=made.get("losses", []),
                seconds=child.seconds,
                why=child.failure,
            )
        )
    return trials
