"""`Provider`: how a plugin offers one named implementation of a role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from mlopsfw.kernel.roles.host import Host

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Provider(Generic[T]):
    """One named implementation of a role.

    Args:
        name: What `use = "…"` selects; lower case, unique within its role.
        config: The `msgspec.Struct` (with `forbid_unknown_fields=True`, `frozen=True`) that `[role.name]` is read into.
        build: Makes the implementation from its config and the host. Heavy imports belong in here.
        summary: One line for `plugins list`.
        code: Options that name code as `module:name`, such as a trainer's factory. That it is there is checked before
            anything runs, without an import.
    """

    name: str
    config: type[msgspec.Struct]
    build: Callable[[Any, Host], T]
    summary: str = ""
    code: tuple[str, ...] = ()
