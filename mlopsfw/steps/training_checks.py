"""What the steps that train check of their options before any step runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import ConfigError, UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.training import TrainingTask

if TYPE_CHECKING:
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.steps.training_params import TrainParams
    from mlopsfw.steps.validation import ValidateParams
    from mlopsfw.training.folds import Folds


def check_task(params: TrainParams) -> None:
    """Raise `ConfigError` for a task whose models are not judged on folds."""
    from mlopsfw.training.crossfit import TASKS

    if params.task not in TASKS:
        hint = f"Those that can: {', '.join(TASKS)}."
        raise ConfigError(f"the task {params.task!r} cannot be validated", key="task", hint=hint)


def check_metric(metrics: MetricSet, task: str, name: str, key: str, *, also: Collection[str] = ()) -> str:
    """Return the metric that compares models, by default that of the task. Raise `ConfigError` where there is none of that name.

    Args:
        metrics: The project's.
        task: What the models do.
        name: The metric; empty for the default.
        key: The option that names it.
        also: Other names that may stand there.
    """
    try:
        there = metrics.of(task)
        if not name:
            return metrics.primary(task)
    except UsageError as error:
        raise ConfigError(error.message, key=key if name else "task", hint=error.hint) from None
    if name not in there:
        other = f", only for {' and '.join(metrics[name].tasks)}" if name in metrics else ""
        hint = nearest(name, (*there, *also))
        raise ConfigError(f"there is no metric {name!r} for the task {task!r}{other}", key=key, hint=hint)
    return name


def check_folds(folds: Folds, params: TrainParams, key: str) -> None:
    """Raise `ConfigError` where rows of the task cannot be divided so."""
    try:
        folds.order(TrainingTask(task=params.task, target=params.target, time=params.time))
    except ConfigError as error:
        own = "time" if error.key == "time" else f"{key}.{error.key}"
        raise ConfigError(error.problem, key=own, hint=error.hint) from None


def check_validation(params: ValidateParams, *, metrics: MetricSet) -> None:
    """Raise `ConfigError` for a validation that cannot be, whatever its rows."""
    check_task(params)
    check_metric(metrics, params.task, params.metric, "metric")
    check_folds(params.folds, params, "folds")
