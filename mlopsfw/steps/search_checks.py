"""What is checked of a search before any step runs: all that the file, the trainers' options and the metrics say of it, without rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.steps.training_checks import check_folds, check_metric, check_task
from mlopsfw.training.search.settings import MEASURES, is_measure
from mlopsfw.training.search.space import Space
from mlopsfw.training.search.study import check_installed

if TYPE_CHECKING:
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.pipeline.graph.parts import TrainerOptions
    from mlopsfw.steps.training_params import FitParams
    from mlopsfw.training.search.settings import Tune


def check_search(params: FitParams, tune: Tune, *, trainer_options: TrainerOptions, metrics: MetricSet) -> None:
    """Check a search.

    Raises:
        ConfigError: It cannot be; with the key of the option, below that of its step.
        MissingExtra: Its sampler is not installed.
    """
    check_installed(tune)
    check_task(params)
    metric = check_metric(metrics, params.task, tune.metric, "tune.metric")
    for key, names in (("also", tune.also), ("limits", tune.limits)):
        for name in names:
            _check_objective(metrics, params, name, f"tune.{key}")
    if metric in tune.also:
        raise ConfigError(f"{metric} is what trials are compared by already", key="tune.also", hint="Leave it out.")
    if tune.folds is not None:
        check_folds(tune.folds, params, "tune.folds")
    space = space_of(params, tune, trainer_options)
    _check_space(space, tune)
    for trainer, options in space.trainers.items():
        for option, dimension in options.items():
            _check_option(trainer, option, dimension.samples, tune, trainer_options)


def space_of(params: FitParams, tune: Tune, trainer_options: TrainerOptions) -> Space:
    """Return the space of a search. Raise `ConfigError` for a name in it that is no trainer's."""
    suggested, starts = {}, {}
    for name in tune.trainers or (params.trainer,):
        called, record = trainer_options(name, {})
        suggested[called] = getattr(record, "search_space", {})
        starts[called] = flat(msgspec.to_builtins(record))
    return Space.of(suggested, tune.space, starts=starts, only_given=tune.sampler == "grid")


def flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with those of tables beside them, as the space names them."""
    tables = {name: value for name, value in options.items() if isinstance(value, dict)}
    return {**options, **{f"{name}.{key}": each for name, table in tables.items() for key, each in table.items()}}


def _check_objective(metrics: MetricSet, params: FitParams, name: str, key: str) -> None:
    """Raise `ConfigError` for a name that is neither a metric of the task nor something measured."""
    if not is_measure(name):
        check_metric(metrics, params.task, name, key, also=MEASURES)
    elif name.partition(".")[2] in ("", params.target) and name not in MEASURES:
        raise ConfigError(f"{name!r} names no column that divides the rows", key=key, hint='Write "gap.COLUMN".')


def _check_space(space: Space, tune: Tune) -> None:
    """Raise `ConfigError` for a space in which the sampler finds nothing."""
    if tune.sampler == "cmaes" and not (space.numeric and not tune.features):
        hint = 'Give each option low and high, or write sampler = "tpe".'
        raise ConfigError("cmaes searches ranges of numbers alone", key="tune.sampler", hint=hint)
    if tune.sampler == "grid":
        next(space.grid())
    if not any(space.trainers.values()) and not tune.features and len(space.trainers) == 1 and space.features is None:
        hint = 'Write space = { "NAME.OPTION" = { low = …, high = … } }.'
        raise ConfigError("there is nothing to search: the trainer suggests no options", key="tune.space", hint=hint)


def _check_option(
    trainer: str, option: str, values: tuple[Any, ...], tune: Tune, trainer_options: TrainerOptions
) -> None:
    """Raise `ConfigError` where the trainer refuses a value of an option."""
    name = f"{trainer}.{option}"
    for value in values:
        try:
            trainer_options(trainer, {option: value})
        except ConfigError as error:
            who = "" if name in tune.space else ", which the trainer suggests,"
            key = f"tune.space.{name}" if name in tune.space else "tune.space"
            of_other = "" if error.key.endswith(f".{option}") else f"{error.key}: "
            message = f"{value!r}{who} is refused: {of_other}{error.problem}"
            raise ConfigError(message, key=key, hint=error.hint) from None
