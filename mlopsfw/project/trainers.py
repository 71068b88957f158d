"""The border of trainers: what one is asked for and what it returns is checked, and an error names its plugin."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.plugins.blame import blaming
from mlopsfw.kernel.roles.bundle import OutputColumn, SignatureColumn
from mlopsfw.kernel.roles.training import Ability, TrainedModel
from mlopsfw.lineage.canonical import not_finite
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw.training.asked import check_asked

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import Selection
    from mlopsfw.kernel.plugins.catalog import Claim
    from mlopsfw.kernel.roles.training import Trainer, TrainingContext, TrainingData, TrainingTask


class CheckedTrainer:
    """Implements `mlopsfw.roles.Trainer` by a plugin's.

    Args:
        trainer: The plugin's, behind the border.
        claim: The plugin.
        name: What the project calls it.
    """

    def __init__(self, trainer: Trainer, claim: Claim, name: str) -> None:
        self._trainer, self._claim, self._name = trainer, claim, name

    @property
    def tasks(self) -> Collection[str]:
        """The tasks that it learns."""
        with blaming(self._claim, "Trainer.tasks"):
            return _names(self._trainer.tasks, "tasks", '{"binary", "regression"}')

    @property
    def abilities(self) -> Collection[Ability]:
        """What it heeds."""
        with blaming(self._claim, "Trainer.abilities"):
            return _names(self._trainer.abilities, "abilities", '{"weight", "valid", "quantiles"}')  # type: ignore[return-value]

    def fit(
        self, task: TrainingTask, train: TrainingData, valid: TrainingData | None, context: TrainingContext
    ) -> TrainedModel:
        """Train a model.

        Raises:
            UsageError: The trainer does not learn such a task, or would ignore something that it is asked for.
            PluginError: What the trainer returns is no trained model.
            BundleError: Its outputs or classes do not suit the task.
        """
        with blaming(self._claim, "Trainer.fit"):
            check_asked(self, self._name, task, validates=valid is not None)
        trained = self._trainer.fit(task, train, valid, context)
        with blaming(self._claim, "Trainer.fit"):
            checked = _checked(trained)
            outputs_for(task.task, checked.classes, checked.outputs, task.quantiles)
        facts = {name: self._fact(name, value) if callable(value) else value for name, value in checked.facts.items()}
        return msgspec.structs.replace(checked, facts=facts)

    def _fact(self, name: str, ask: Callable[[], Any]) -> Callable[[], Any]:
        """Return `ask`, whose errors and values that are no JSON name the plugin."""

        def asked() -> Any:
            with blaming(self._claim, f"TrainedModel.facts[{name!r}]"):
                value = ask()
                _check_facts({name: value})
                return value

        return asked


def with_options(selection: Selection, options: Mapping[str, Any]) -> Selection:
    """Return a selection with options on top of its own; `params.C` is `C` in its table `params`."""
    merged = dict(selection.options)
    for name, value in options.items():
        table, *inner = name.split(".", 1)
        merged[table] = {**merged.get(table, {}), inner[0]: value} if inner else value
    return msgspec.structs.replace(selection, options=merged)


def _names(value: object, what: str, example: str) -> Collection[str]:
    if isinstance(value, str) or not isinstance(value, Collection) or not all(isinstance(each, str) for each in value):
        raise PluginError(f"Trainer.{what} is {value!r}, not a collection of names", hint=f"Such as {example}.")
    return value


def _checked(trained: object) -> TrainedModel:
    """Return the model with metrics as floats. Raise `PluginError` where it is none."""
    if not isinstance(trained, TrainedModel):
        raise PluginError(
            f"the trainer returned {_described(trained)}, not a TrainedModel",
            hint="Trainer.fit returns a mlopsfw.roles.TrainedModel.",
        )
    for name, is_right, words in _FIELDS:
        value = getattr(trained, name)
        if not is_right(value):
            raise PluginError(
                f"TrainedModel.{name} is {_described(value)}", hint=f"The trainer must return {words} there."
            )
    _each(trained.files, "files", _is_file, "the path of a file")
    _each(trained.formats, "formats", trained.files.__contains__, f"one of its files: {', '.join(trained.files)}")
    _each(trained.metrics, "metrics", _is_number, "a finite number")
    for column in (*trained.inputs, *trained.outputs):
        _check_column(column)
    _check_facts({name: value for name, value in trained.facts.items() if not callable(value)})
    return msgspec.structs.replace(trained, metrics={name: float(value) for name, value in trained.metrics.items()})


def _check_column(column: SignatureColumn) -> None:
    """Raise `PluginError` where a field is not of its type: msgspec checks none when a record is made."""
    try:
        msgspec.convert(msgspec.to_builtins(column), type(column))
    except (TypeError, msgspec.MsgspecError) as error:
        kind = type(column).__name__
        raise PluginError(f"the {kind} {column.name!r} of the model: {error}", hint="Repair the trainer.") from error


def _check_facts(facts: Mapping[str, Any]) -> None:
    for name, value in facts.items():
        what = f"TrainedModel.facts[{name!r}]"
        hint = "Facts are JSON values, such as float(x): they become part of the model card."
        try:
            msgspec.json.encode(value)
            path = not_finite(msgspec.to_builtins(value), what)
        except (TypeError, msgspec.MsgspecError) as error:
            raise PluginError(f"{what}: {error}", hint=hint) from error
        if path:
            raise PluginError(f"{path} is no finite number", hint="Leave it out, or name it in a text.")


def _each(values: Mapping[str, Any], field: str, is_right: Callable[[Any], bool], words: str) -> None:
    for name, value in values.items():
        if not is_right(value):
            raise PluginError(
                f"TrainedModel.{field}[{name!r}] is {_described(value)}, not {words}", hint="Repair the trainer."
            )


def _described(value: object) -> str:
    text = repr(value)
    kind = "" if value is None else f"a {type(value).__name__}: "
    return kind + (text if len(text) <= 80 else f"{text[:77]}...")  # noqa: PLR2004 - a line of a terminal


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _are_columns(value: object, kind: type[SignatureColumn]) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, kind) for each in value)


def _is_classes(value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(each, str | int | bool) for each in value)


def _is_file(value: object) -> bool:
    return isinstance(value, Path) and value.is_file()


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


_FIELDS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("inputs", lambda value: _are_columns(value, SignatureColumn) and bool(value), "a tuple of SignatureColumn"),
    ("files", _is_mapping, "a mapping of names to paths"),
    ("formats", lambda value: _is_mapping(value) and bool(value), "a mapping of formats to names of files"),
    ("outputs", lambda value: _are_columns(value, OutputColumn), "a tuple of OutputColumn"),
    ("examples", _is_mapping, "a mapping of inputs to lists of values"),
    ("classes", _is_classes, "a tuple of texts, integers or booleans"),
    ("metrics", _is_mapping, "a mapping of names to numbers"),
    ("facts", _is_mapping, "a mapping of names to JSON values"),
)
