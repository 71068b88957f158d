"""Alerts in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.alerts.events import AlertAcknowledged, AlertRaised, AlertRecord, AlertResolved, AlertRose
from mlopsfw.kernel.index.part import IndexPart, as_json, upsert
from mlopsfw.kernel.roles.event import Event

_TABLES = """
CREATE TABLE alerts (id TEXT PRIMARY KEY, "group" TEXT, severity TEXT, title TEXT, state TEXT, time TEXT, facts TEXT)
    WITHOUT ROWID;
"""


def _raised(db: Connection, _: str, event: Event) -> None:
    _enter(db, AlertRaised.of(event).alert)


def _rose(db: Connection, _: str, event: Event) -> None:
    _enter(db, AlertRose.of(event).alert)


def _enter(db: Connection, alert: AlertRecord) -> None:
    values = {
        "group": alert.group,
        "severity": alert.severity,
        "title": alert.title,
        "time": alert.time,
        "state": alert.state,
        "facts": as_json(alert),
    }
    upsert(db, "alerts", {"id": alert.id}, values)


def _acknowledged(db: Connection, _: str, event: Event) -> None:
    _became(db, AlertAcknowledged.of(event).id, "acknowledged")


def _resolved(db: Connection, _: str, event: Event) -> None:
    _became(db, AlertResolved.of(event).id, "resolved")


def _became(db: Connection, alert: str, state: str) -> None:
    db.execute("UPDATE alerts SET state = ? WHERE id = ?", (state, alert))


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        ("alerts", AlertRaised.type): _raised,
        ("alerts", AlertRose.type): _rose,
        ("alerts", AlertAcknowledged.type): _acknowledged,
        ("alerts", AlertResolved.type): _resolved,
    },
)
