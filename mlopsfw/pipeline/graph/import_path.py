"""What a step's `python` or a plugin's option names by `module:name`: a class or function of the project or of an installed package."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest


def import_object(target: str, key: str) -> Any:
    """Return the class or function that `module:name` names.

    Args:
        target: The name.
        key: The option that has it, for messages.

    Raises:
        UsageError: It names none, or its module, or one that it imports, cannot be found. What else the import raises passes.
    """
    module_name, _, path = target.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *path.split("."))):
        hint = "Write `module:name`, such as sklearn.linear_model:Ridge."
        raise UsageError(f"{key} = {target!r} does not name a class or a function of a module", hint=hint)
    try:
        value: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None:  # the module's own words
            raise
        hint = f"Correct the name, or install the package that provides {error.name!r} where the step runs."
        raise UsageError(f"{key} = {target!r}: there is no module {error.name!r}", hint=hint) from error
    for part in path.split("."):
        if not hasattr(value, part):
            raise UsageError(f"{key} = {target!r}: {module_name} has no {part!r}", hint=nearest(part, dir(value)))
        value = getattr(value, part)
    return value


def build_object(target: str, key: str, params: Mapping[str, Any]) -> Any:
    """Call the class or function that `module:name` names with keyword arguments, and return what it gives.

    Args:
        target: The name.
        key: The option that has it, for messages.
        params: The arguments.

    Raises:
        UsageError: As `import_object`, or it does not take the arguments. What the call raises passes, with a note.
    """
    make = import_object(target, key)
    try:
        inspect.signature(make).bind(**params)
    except TypeError as error:
        raise UsageError(f"{target} does not take the params {', '.join(params)}: {error}") from error
    try:
        return make(**params)
    except Exception as error:
        error.add_note(f"raised by {key} = {target!r}")
        raise
