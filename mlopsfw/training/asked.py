"""What a trainer is asked for: refused by name where it would ignore it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import UsageError

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.training import Trainer, TrainingTask


def check_asked(trainer: Trainer, name: str, task: TrainingTask, *, validates: bool) -> None:
    """Raise `UsageError` where a trainer does not learn such a task, or would ignore something that it is asked for.

    Args:
        trainer: The trainer.
        name: What the project calls it.
        task: What it is asked for.
        validates: Whether it gets validation rows.
    """
    if task.task not in trainer.tasks:
        raise UsageError(
            f"the trainer {name!r} does not learn {task.task} models",
            hint=f"It learns {', '.join(sorted(trainer.tasks))}. Name another trainer in the step's params.",
        )
    for asked, ability, what, hint in (
        (task.weight, "weight", "the weights of rows", "Remove `weight`."),
        (validates, "valid", "validation rows", "Remove the input `valid`."),
        (task.derived, "derived", "derived columns", 'Derive them in a step before, by `use = "features"`.'),
        (task.quantiles, "quantiles", "quantiles", "Remove `quantiles`, or name a trainer that has them."),
    ):
        if asked and ability not in trainer.abilities:
            raise UsageError(f"the trainer {name!r} would ignore {what}", hint=hint)
