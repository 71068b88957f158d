"""`People`: who acted in a project, by name; what they wrote, in clear; and how one of them is forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from mlopsfw.governance.actors import Actors, is_actor
from mlopsfw.governance.events import ActorForgotten
from mlopsfw.governance.texts import Texts, is_reference
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.services import Services

T = TypeVar("T")

STREAM = "privacy/actors"
"""Records which actors were forgotten."""


class LocalMemory(Protocol):
    """What this machine remembers of who acts."""

    def drop(self, actor: str) -> None:
        """Remember an actor no longer."""
        ...


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the directory.

    Args:
        actor: The id, as events hold it.
        name: For people; empty where the actor has none.
        created: When it first acted, RFC 3339.
        forgotten: Whether it was forgotten.
    """

    actor: str
    name: str
    created: str
    forgotten: bool


class People:
    """The people of a project.

    Args:
        services: The kernel's.
        actors: The directory.
        texts: What people wrote.
        memory: Forgets an actor on this machine, too.
    """

    def __init__(self, services: Services, actors: Actors, texts: Texts, memory: LocalMemory) -> None:
        self._stream = services.ledger.stream(STREAM)
        self._actors, self._texts, self._memory = actors, texts, memory

    def everyone(self) -> list[Person]:
        """Return everyone in the directory, who acted first first."""
        forgotten = self.forgotten()
        people = [
            Person(actor=actor, name=entry.name, created=entry.created, forgotten=actor in forgotten)
            for actor, entry in self._actors.all().items()
        ]
        return sorted(people, key=lambda person: (person.created, person.actor))

    def forgotten(self) -> set[str]:
        """Return the actors that were forgotten, as the ledger has it."""
        events = (event for event in self._stream.events() if event.type == ActorForgotten.type)
        return {ActorForgotten.of(event).forgotten for event in events}

    def restored(self) -> list[str]:
        """Return the actors that were forgotten and have a name all the same: from an older copy, or a call cut short."""
        forgotten = self.forgotten()
        found = {actor for actor, entry in self._actors.entries(forgotten).items() if entry.name}
        return sorted(found | (forgotten and self._actors.named() & forgotten))

    def rename(self, actor: str, name: str) -> None:
        """Give an actor another name.

        Raises:
            UnknownName: There is no such actor.
            UsageError: It was forgotten, or the name is none.
        """
        self._actors.require(actor)
        self._refuse_forgotten(actor)
        self._actors.rename(actor, name)
        try:
            self._refuse_forgotten(actor)
        except UsageError:  # meanwhile
            self._actors.forget(actor)
            raise

    def forget(self, actor: str) -> None:
        """Destroy an actor's name and the key of all words written under it. Raise `UnknownName`.

        The ledger says so first: what was cut short is seen by `doctor`, and done by the next call.
        """
        self._actors.require(actor)
        if actor not in self.forgotten():
            self._stream.append(ActorForgotten(forgotten=actor))
        self._actors.forget(actor)
        self._memory.drop(actor)

    def show(self, value: T) -> T:
        """Return `value` as people read it: actors by their names, words in clear.

        Args:
            value: Anything made of records, mappings, lists and texts; a text counts only as a whole.
        """
        texts = set(_texts(value))
        shown = self._actors.names(filter(is_actor, texts)) | self._texts.read(filter(is_reference, texts))
        return _replaced(value, shown) if shown else value

    def _refuse_forgotten(self, actor: str) -> None:
        if actor in self.forgotten():
            raise UsageError(f"{actor} was forgotten", hint="Set MLOPSFW_ACTOR to another actor.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for inner in _inner(value).values():
            yield from _texts(inner)


def _inner(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    return dict(enumerate(value)) if isinstance(value, list | tuple) else {}


def _replaced(value: Any, shown: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return shown.get(value, value)
    inner = {name: _replaced(each, shown) for name, each in _inner(value).items()}
    if isinstance(value, Mapping):
        return inner
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **inner)
    return type(value)(inner.values()) if isinstance(value, list | tuple) else value
