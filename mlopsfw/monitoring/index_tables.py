"""Windows that monitors examined, in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.kernel.index.part import IndexPart, as_json, upsert
from mlopsfw.kernel.roles.event import Event
from mlopsfw.monitoring.events import WindowExamined

_TABLES = """
CREATE TABLE windows (endpoint TEXT, monitor TEXT, start TEXT, "end" TEXT, rows INTEGER, alarm INTEGER, time TEXT,
    facts TEXT, PRIMARY KEY (endpoint, monitor, start, "end")) WITHOUT ROWID;
"""


def _examined(db: Connection, endpoint: str, event: Event) -> None:
    window = WindowExamined.of(event)
    keys = {"endpoint": endpoint, "monitor": window.monitor, "start": window.start, "end": window.end}
    values = {"rows": window.rows, "alarm": window.alarm, "time": event.time, "facts": as_json(event.body)}
    upsert(db, "windows", keys, values)


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        ("monitor", WindowExamined.type): _examined,
    },
)
