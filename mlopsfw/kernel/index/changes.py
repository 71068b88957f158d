"""`Changes`: what events change in the tables of the index. Tables of a plugin whose change fails are set aside.

Tables that are set aside get no further change, since they no longer say what the ledger says. All others go on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial

from mlopsfw.kernel.base.errors import text_of
from mlopsfw.kernel.events.authority import owner_of
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.index.part import Change, IndexPart
from mlopsfw.kernel.plugins.blame import warn
from mlopsfw.kernel.roles.event import Event

TABLE = "CREATE TABLE set_aside (plugin TEXT PRIMARY KEY, event TEXT, reason TEXT)"
"""The plugins whose tables are set aside, each with the event at which it happened and why."""
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
UNAVAILABLE = tuple(getattr(sqlite3, f"SQLITE_{name}") for name in ("BUSY", "LOCKED", "IOERR", "CANTOPEN", "FULL"))


class Changes:
    """The changes of all parts.

    Args:
        parts: What components contribute.
    """

    def __init__(self, parts: Iterable[IndexPart]) -> None:
        self._changes: dict[tuple[str, str], list[tuple[str, Change]]] = {}
        for part in parts:
            for key, change in part.changes.items():
                self._changes.setdefault(key, []).append((part.plugin, change))

    def apply(self, db: sqlite3.Connection, event: Event, types: EventTypes) -> None:
        """Change the tables as an event says, in the caller's transaction."""
        kind, _, name = event.stream.partition("/")
        if not owner_of(event.stream):
            event = types.upcast(event)
        for plugin, change in self._changes.get((kind, event.type), ()):
            if not plugin:
                change(db, name, event)
            elif not db.execute("SELECT 1 FROM set_aside WHERE plugin = ?", (plugin,)).fetchone():
                _try(db, plugin, event, partial(_change, change, db, event, types))


def _change(change: Change, db: sqlite3.Connection, event: Event, types: EventTypes) -> None:
    change(db, event.stream.partition("/")[2], types.upcast(event))


def _try(db: sqlite3.Connection, plugin: str, event: Event, change: Callable[[], None]) -> None:
    """Make a change of a plugin's. If it fails, undo it and set the plugin's tables aside."""
    db.execute("SAVEPOINT change")
    try:
        change()
    except Exception as error:
        if getattr(error, "sqlite_errorcode", None) in (*DAMAGE, *UNAVAILABLE):
            raise  # the file is at fault
        db.execute("ROLLBACK TO change")
        where, reason = f"{event.stream} #{event.seq}", text_of(error)
        db.execute("INSERT INTO set_aside VALUES (?, ?, ?)", (plugin, where, reason))
        warn(
            f"the tables of {plugin} are set aside: its change for {where} raised {reason}. Repair the plugin and run "
            f"`mlopsfw index rebuild`, or run `mlopsfw plugins disable {plugin}`."
        )
    db.execute("RELEASE change")
