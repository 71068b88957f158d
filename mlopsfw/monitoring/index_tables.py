"""Windows that monitors examined, in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.kernel.index.part import IndexPart, as_json, upsert
from mlopsfw.kernel.roles.event import Event

_TABLES = """
CREATE TABLE windows (endpoint TEXT, monitor TEXT, start TEXT, "end" TEXT, rows INTEGER, alarm INTEGER, time TEXT,
    facts TEXT, PRIMARY KEY (endpoint, monitor, start, "end")) WITHOUT ROWID;
"""


def _examined(db: Connection, endpoint: str, event: Event) -> None:
    body = event.body
    keys = {"endpoint": endpoint, "monitor": body["monitor"], "start": body["start"], "end": body["end"]}
    values = {"rows": body.get("rows"), "alarm": bool(body.get("alarm")), "time": event.time, "facts": as_json(body)}
    upsert(db, "windows", keys, values)


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        ("monitor", "window.examined"): _examined,
    },
)
