"""Windows that monitors examined, in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.kernel.index.part import IndexPart, Listing, as_json, upsert
from mlopsfw.kernel.roles.event import Event
from mlopsfw.monitoring.events import WindowExamined

_TABLES = """
CREATE TABLE windows (endpoint TEXT, monitor TEXT, start TEXT, "end" TEXT, version INTEGER, look INTEGER, rows INTEGER,
    alarm INTEGER, time TEXT, facts TEXT, PRIMARY KEY (endpoint, monitor, start, "end", version, look)) WITHOUT ROWID;
"""


def _examined(db: Connection, endpoint: str, event: Event) -> None:
    window = WindowExamined.of(event)
    keys = {
        "endpoint": endpoint,
        "monitor": window.monitor,
        "start": window.start,
        "end": window.end,
        "version": window.version or 0,
        "look": window.look or 1,
    }
    values = {"rows": window.rows, "alarm": window.alarm, "time": event.time, "facts": as_json(event.body)}
    upsert(db, "windows", keys, values)


_WINDOWS = Listing(
    "windows",
    "each window that a monitor examined, newest first",
    'SELECT endpoint, monitor, start, "end", version, look, rows, alarm FROM windows'
    " ORDER BY start DESC, endpoint, monitor, version DESC, look DESC",
)

INDEX = IndexPart(
    tables=_TABLES,
    listings=(_WINDOWS,),
    changes={
        ("monitor", WindowExamined.type): _examined,
    },
)
