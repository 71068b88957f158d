"""Endpoints in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.kernel.index.part import Change, IndexPart, upsert
from mlopsfw.kernel.roles.event import Event

_TABLES = """
CREATE TABLE endpoints (endpoint TEXT PRIMARY KEY, state TEXT, revision INTEGER, model TEXT, version INTEGER, url TEXT,
    reason TEXT, time TEXT) WITHOUT ROWID;
CREATE TABLE revisions (endpoint TEXT, revision INTEGER, model TEXT, version INTEGER, time TEXT, seq INTEGER,
    PRIMARY KEY (endpoint, revision)) WITHOUT ROWID;
"""


def _endpoint(state: str) -> Change:
    def change(db: Connection, endpoint: str, event: Event) -> None:
        names = ("revision", "model", "version", "url", "reason")
        values = {name: event.body[name] for name in names if name in event.body}
        upsert(db, "endpoints", {"endpoint": endpoint}, {**values, "state": state, "time": event.time})

    return change


def _wanted(db: Connection, endpoint: str, event: Event) -> None:
    _endpoint("wanted")(db, endpoint, event)
    body = event.body
    if body.get("model"):
        values = {"model": body["model"], "version": body["version"], "time": event.time, "seq": event.seq}
        upsert(db, "revisions", {"endpoint": endpoint, "revision": body["revision"]}, values)


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        ("endpoint", "endpoint.wanted"): _wanted,
        ("endpoint", "endpoint.ready"): _endpoint("ready"),
        ("endpoint", "endpoint.failed"): _endpoint("failed"),
        ("endpoint", "endpoint.stopped"): _endpoint("stopped"),
    },
)
