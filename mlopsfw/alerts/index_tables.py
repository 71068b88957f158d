"""Alerts in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.kernel.index.part import Change, IndexPart, as_json, upsert
from mlopsfw.kernel.roles.event import Event

_TABLES = """
CREATE TABLE alerts (id TEXT PRIMARY KEY, "group" TEXT, severity TEXT, title TEXT, state TEXT, time TEXT, facts TEXT)
    WITHOUT ROWID;
"""


def _raised(db: Connection, _: str, event: Event) -> None:
    alert = event.body["alert"]
    values = {name: alert.get(name) for name in ("group", "severity", "title", "time")}
    upsert(
        db, "alerts", {"id": alert["id"]}, {**values, "state": alert.get("state", "firing"), "facts": as_json(alert)}
    )


def _alert(state: str) -> Change:
    def change(db: Connection, _: str, event: Event) -> None:
        db.execute("UPDATE alerts SET state = ? WHERE id = ?", (state, event.body.get("id")))

    return change


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        ("alerts", "alert.raised"): _raised,
        ("alerts", "alert.acknowledged"): _alert("acknowledged"),
        ("alerts", "alert.resolved"): _alert("resolved"),
    },
)
