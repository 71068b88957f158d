"""What providers must return: the type of each answer is checked where it comes in, so that a wrong one names its plugin."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, get_args

import msgspec

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.plugins.blame import blame_built
from mlopsfw.kernel.roles.alerting import Receipt
from mlopsfw.kernel.roles.deployer import DeployerMode, EndpointStatus
from mlopsfw.kernel.roles.engine import EngineAbility, Resources, StepResult
from mlopsfw.kernel.roles.monitoring import Signals
from mlopsfw.kernel.roles.source import SourceOption
from mlopsfw.privacy.secrets import secret_problem

_NONE = type(None)
_ANSWERS: dict[tuple[str, str], tuple[type, ...]] = {
    ("monitor", "signals"): (Signals,),
    ("monitor", "page"): (str, _NONE),
    ("alerter", "deliver"): (Receipt, _NONE),
    ("deployer", "deploy"): (EndpointStatus,),
    ("deployer", "status"): (EndpointStatus,),
    ("deployer", "stop"): (EndpointStatus,),
    ("engine", "capacity"): (Resources,),
    ("engine", "fits"): (bool,),
    ("handle", "wait"): (StepResult, _NONE),
    ("secrets", "read"): (str,),
}
_DECLARED: dict[tuple[str, str], tuple[str, ...]] = {
    ("deployer", "mode"): get_args(DeployerMode),
    ("engine", "abilities"): get_args(EngineAbility),
    ("source", "takes"): get_args(SourceOption),
}
_SEVERAL = ("abilities", "takes")
_PROBLEMS: dict[tuple[str, str], Callable[[Any], str]] = {("secrets", "read"): secret_problem}
_PARTS = {("engine", "submit"): "handle"}
_METHODS = {"handle": ("wait", "cancel")}

CHECKED = frozenset(role for role, _ in (*_ANSWERS, *_DECLARED, *_PARTS)) - {*_METHODS}
"""The roles whose answers are checked here; the rooms of the others check theirs."""


class Checked:
    """A provider whose answers are checked. Stands for what `PluginManager.build` made.

    Args:
        blamed: The provider, or a part that one of its methods returned, behind the border.
        role: Its role, or what the part is.
    """

    def __init__(self, blamed: Any, role: str) -> None:
        self._blamed, self._role = blamed, role

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._blamed, name)
        if words := _DECLARED.get((self._role, name)):
            return self._declared(name, value, words)
        part = _PARTS.get((self._role, name), "")
        if not part and (self._role, name) not in _ANSWERS:
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = value(*args, **kwargs)
            try:
                check_answer(self._role, name, part, getattr(answer, "_built", answer) if part else answer)
            except PluginError as error:
                blame_built(self._blamed, error, name)
                raise
            return Checked(answer, part) if part else answer

        return call

    def _declared(self, name: str, value: object, words: tuple[str, ...]) -> object:
        several = isinstance(value, Collection) and not isinstance(value, str)
        if several == (name in _SEVERAL) and all(each in words for each in (value if several else [value])):  # type: ignore[attr-defined]
            return value
        must = "a collection of" if name in _SEVERAL else "one of"
        error = PluginError(f"its {name} is {value!r}", hint=f"It must be {must} {', '.join(map(repr, words))}.")
        blame_built(self._blamed, error, name)
        raise error


def check_answer(role: str, method: str, part: str, answer: Any) -> None:
    """Raise `PluginError` unless `answer` is what a method of the role may return, field by field.

    Args:
        role: The role, or the part that a role's method returned.
        method: The method.
        part: What the answer is, where it has methods of its own.
        answer: The answer.
    """
    if missing := [name for name in _METHODS.get(part, ()) if not callable(getattr(answer, name, None))]:
        raise PluginError(f"it returned {_described(answer)}, which has no method {missing[0]!r}")
    types = _ANSWERS.get((role, method), (object,))
    if not isinstance(answer, types):
        names = " or ".join("None" if each is _NONE else each.__name__ for each in types)
        raise PluginError(f"it returned {_described(answer)} instead of {names}")
    if problem := _PROBLEMS.get((role, method), _no_problem)(answer):
        raise PluginError(f"what it returned {problem}")
    if isinstance(answer, msgspec.Struct) and (role, method) in _ANSWERS:
        try:
            msgspec.convert(msgspec.to_builtins(answer, builtin_types=(bytes,)), type(answer))
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise PluginError(f"it returned an invalid {type(answer).__name__}: {error}") from None


def _no_problem(_answer: object) -> str:
    return ""


def _described(answer: Any) -> str:
    return "None" if answer is None else f"a {type(answer).__name__}"
