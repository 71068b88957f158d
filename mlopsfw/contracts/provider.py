"""`Provider`: how a plugin offers one named implementation of a role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import msgspec

    from mlopsfw.contracts.host import Host

T = TypeVar("T")

API_VERSION = 1
"""The major version of the hooks; the entry-point group is `mlopsfw.v<API_VERSION>`."""

ROLES = ("storage", "trainer", "runtime", "deployer", "monitor", "alerter", "engine")
"""The roles selected by name; also the first part of an entry point's name."""


@dataclass(frozen=True, slots=True)
class Provider(Generic[T]):
    """One named implementation of a role.

    Args:
        name: What `use = "…"` selects; lower case, unique within its role.
        config: The `msgspec.Struct` (with `forbid_unknown_fields=True`, `frozen=True`) that `[role.name]` is read into.
        build: Makes the implementation from its config and the host. Heavy imports belong in here.
        summary: One line for `plugins list`.
    """

    name: str
    config: type[msgspec.Struct]
    build: Callable[[Any, Host], T]
    summary: str = ""
