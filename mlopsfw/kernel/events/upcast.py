"""Upcasters: how bodies that earlier releases wrote are read today.

They are pure, run at every read, and change nothing stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import NewerVersion
from mlopsfw.kernel.roles.event import Event

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

_current: dict[str, int] = {}
_upcasters: dict[tuple[str, int], Upcaster] = {}


def register_upcaster(type: str, version: int, upcaster: Upcaster) -> None:  # noqa: A002 - the event's own field name
    """Declare how a body of `type` at `version` becomes one of `version + 1`."""
    _upcasters[type, version] = upcaster
    _current[type] = max(current_version(type), version + 1)


def current_version(type: str) -> int:  # noqa: A002 - the event's own field name
    """Return the version at which bodies of `type` are written now."""
    return _current.get(type, 1)


def upcast(event: Event) -> Event:
    """Return the event with its body as this release writes it.

    Raise `NewerVersion` where it is ahead of this release.
    """
    current = current_version(event.type)
    if event.version == current:
        return event
    if event.version > current:
        raise NewerVersion(
            f"{event.stream} #{event.seq}: {event.type} has version {event.version}, "
            f"this mlopsfw reads up to {current}",
            hint="Upgrade mlopsfw.",
        )
    body = event.body
    for version in range(event.version, current):
        body = _upcasters[event.type, version](body)
    return msgspec.structs.replace(event, body=body, version=current)
