"""Checks of options that a type cannot express: names, references, lengths of time.

A record calls them in `__post_init__`, so a wrong option is an error with its line in the file before anything is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import ConfigError, MlopsfwError


def check_options(record: msgspec.Struct, **checks: Callable[[Any], object]) -> None:
    """Check options of `record` by name; those that have their default are left out.

    Args:
        record: The options of a plugin.
        checks: Option → a function that raises an error of `mlopsfw.errors` if a value is wrong. It is given each
            item of a tuple, and each value of a table.

    Raises:
        ConfigError: A value is wrong; its `key` is the option.
    """
    defaults = {each.name: each.default for each in msgspec.structs.fields(record)}
    for name, check in checks.items():
        value = getattr(record, name)
        if value == defaults[name]:
            continue
        items = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else (value,)
        for item in items:
            try:
                check(item)
            except MlopsfwError as error:
                raise ConfigError(error.message, key=name, hint=error.hint) from None
