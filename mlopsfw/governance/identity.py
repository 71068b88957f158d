"""Who acts on this machine: a name becomes an actor's id, once per store. `.mlopsfw/actor` remembers it.

Only who appends an event asks, so that one who reads is in no directory.
"""

from __future__ import annotations

import os
from contextlib import suppress

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
        self._checked = ""  # whom this process has found in the directory
        self._file, self._folder = workspace.state / "actor", workspace.private_folder

    def find(self) -> str:
        """Return the actor's id. Raise `UsageError` where the name cannot be one."""
        if is_actor(self._name):
            return self._name
        known = self._remembered().get(self._store, {})
        if self._name in known and self._is_named(known[self._name]):
            return known[self._name]
        check_person_name(check_person(self._name))
        actor = self._checked = self._actors.join(self._name)
        self._remember({**self._remembered().get(self._store, {}), self._name: actor})
        return actor

    def _is_named(self, actor: str) -> bool:
        """Say whether the directory has a name for a remembered actor: one that was forgotten acts no more."""
        if actor != self._checked:
            entry = self._actors.get(actor)
            self._checked = actor if entry is not None and entry.name else ""
        return actor == self._checked

    def drop(self, actor: str) -> None:
        """Remember an actor no longer, wherever its store was: the next act under its name makes another."""
        known, self._checked = self._remembered(), ""
        kept = {store: {name: each for name, each in names.items() if each != actor} for store, names in known.items()}
        if kept != known:
            self._write(kept)

    def _remembered(self) -> _Known:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Known)
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def _remember(self, known: dict[str, str]) -> None:
        with suppress(OSError):  # the store has it too: a project that can only be read, or a full disk, ends no verb
            self._write({**self._remembered(), self._store: known})

    def _write(self, known: _Known) -> None:
        self._folder()
        part = self._file.with_name(f"actor.{os.getpid()}.part")
        try:
            part.write_bytes(msgspec.json.encode(known))
            part.replace(self._file)
        finally:
            part.unlink(missing_ok=True)
