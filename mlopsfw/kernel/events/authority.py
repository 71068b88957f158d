"""Who may write what: a plugin appends its own types of events to its own streams; the kernel appends to all others.

It is refused when an event is appended. An event that got into a stream past that door is not believed when the stream
is read: it keeps its number, so that the chain stays whole, and loses its meaning.
"""

from __future__ import annotations

import msgspec

from mlopsfw.kernel.base.errors import PluginError, UsageError
from mlopsfw.kernel.roles.event import Event

_STREAM, _ACTOR, _TYPE = "plugin/", "plugin:", "plugin."
FOREIGN = "foreign:"
"""Before the type of an event that is not believed: no fold knows such a type."""


def actor_of(plugin: str) -> str:
    """Return the actor of what the plugin `plugin` (`observer.acme`) appends."""
    return f"{_ACTOR}{plugin}"


def owner_of(stream: str) -> str:
    """Return the plugin that a stream belongs to, such as `observer.acme`; empty for the kernel's."""
    return stream.removeprefix(_STREAM).partition("/")[0] if stream.startswith(_STREAM) else ""


def check_person(actor: str) -> str:
    """Return `actor`, who is no plugin. Raise `UsageError` where it is named like one."""
    if actor.startswith(_ACTOR):
        raise UsageError(f"the actor {actor!r} is reserved for a plugin", hint="Set MLOPSFW_ACTOR to another name.")
    return actor


def check(plugin: str, stream: str, type: str) -> None:  # noqa: A002 - the event's own field name
    """Raise `PluginError` where `plugin` (the kernel, where empty) may not append an event of `type` to `stream`."""
    own, types = f"{_STREAM}{plugin}", f"{_TYPE}{plugin}."
    if not plugin:
        if stream.startswith(_STREAM) or type.startswith(_TYPE):
            raise PluginError(f"only a plugin may write {type} in {stream}", hint="Plugins append by `Host.emit`.")
    elif stream != own and not stream.startswith(f"{own}/"):
        raise PluginError(
            f"{plugin} may not write to the stream {stream!r}", hint=f"A plugin's streams are {own} and {own}/NAME."
        )
    elif not type.startswith(types) or type == types:
        raise PluginError(
            f"{plugin} may not write an event of the type {type!r}", hint=f"A plugin's types are {types}NAME."
        )


def is_foreign(event: Event) -> bool:
    """Return whether an event lies where its actor may not write, or is of a type that does not belong there."""
    named = event.actor.startswith(_ACTOR)
    if not named and not event.stream.startswith(_STREAM) and not event.type.startswith(_TYPE):
        return False
    plugin = event.actor.removeprefix(_ACTOR) if named else ""
    try:
        check(plugin, event.stream, event.type)
    except PluginError:
        return True
    return named and not plugin


def believed(event: Event, epoch: int) -> Event:
    """Return the event as folds see it: a foreign one has a type that no fold knows, and the epoch before it."""
    if not is_foreign(event):
        return event
    return msgspec.structs.replace(event, type=f"{FOREIGN}{event.type}", version=1, epoch=epoch)


def copy(event: Event) -> Event:
    """Return the event for a plugin, which may do with its body as it likes: the kernel goes on believing its own."""
    return msgspec.json.decode(msgspec.json.encode(event), type=Event)
