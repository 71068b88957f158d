"""Endpoints in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.kernel.index.part import Change, IndexPart, upsert
from mlopsfw.kernel.roles.event import Event

_TABLES = """
CREATE TABLE endpoints (endpoint TEXT PRIMARY KEY, state TEXT, revision INTEGER, model TEXT, version INTEGER, url TEXT,
    reason TEXT, time TEXT) WITHOUT ROWID;
"""


def _endpoint(state: str) -> Change:
    def change(db: Connection, endpoint: str, event: Event) -> None:
        names = ("revision", "model", "version", "url", "reason")
        values = {name: event.body[name] for name in names if name in event.body}
        upsert(db, "endpoints", {"endpoint": endpoint}, {**values, "state": state, "time": event.time})

    return change


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        ("endpoint", "endpoint.wanted"): _endpoint("wanted"),
        ("endpoint", "endpoint.ready"): _endpoint("ready"),
        ("endpoint", "endpoint.failed"): _endpoint("failed"),
        ("endpoint", "endpoint.stopped"): _endpoint("stopped"),
    },
)
