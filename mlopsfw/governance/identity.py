"""Who acts on this machine: a name becomes an actor's id, once per store. `.mlopsfw/actor` remembers it.

Only who appends an event asks, so that one who reads is in no directory.
"""

from __future__ import annotations

import os

import msgspec

from mlopsfw.governance.actors import Actors, check_person_name, is_actor
from mlopsfw.kernel.events.authority import check_person
from mlopsfw.kernel.roles.storage import Storage
from mlopsfw.kernel.workspace import Workspace

_Known = dict[str, dict[str, str]]  # store → name → actor


class Identity:
    """Who acts.

    Args:
        name: What `MLOPSFW_ACTOR` says, or `user@host`. An actor's id is taken as it is.
        storage: The store that the directory belongs to.
        actors: The directory.
        workspace: Where this machine remembers.
    """

    def __init__(self, name: str, storage: Storage, actors: Actors, workspace: Workspace) -> None:
        self._name, self._store, self._actors = name, storage.describe(), actors
        self._file, self._folder = workspace.state / "actor", workspace.private_folder

    def find(self) -> str:
        """Return the actor's id. Raise `UsageError` where the name cannot be one."""
        if is_actor(self._name):
            return self._name
        known = self._remembered().get(self._store, {})
        if self._name in known:
            return known[self._name]
        check_person_name(check_person(self._name))
        actor = self._actors.join(self._name)
        self._remember({**self._remembered().get(self._store, {}), self._name: actor})
        return actor

    def drop(self, actor: str) -> None:
        """Remember an actor no longer: the next act under its name makes another."""
        known = self._remembered().get(self._store, {})
        if actor in known.values():
            self._remember({name: other for name, other in known.items() if other != actor})

    def _remembered(self) -> _Known:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Known)
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def _remember(self, known: dict[str, str]) -> None:
        self._folder()
        part = self._file.with_name(f"actor.{os.getpid()}.part")
        part.write_bytes(msgspec.json.encode({**self._remembered(), self._store: known}))
        part.replace(self._file)
