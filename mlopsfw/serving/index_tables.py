"""Endpoints in the index."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

from mlopsfw.kernel.index.part import IndexPart, upsert
from mlopsfw.kernel.roles.event import Event
from mlopsfw.serving.events import EndpointFailed, EndpointReady, EndpointStopped, EndpointWanted

_TABLES = """
CREATE TABLE endpoints (endpoint TEXT PRIMARY KEY, state TEXT, revision INTEGER, model TEXT, version INTEGER, url TEXT,
    reason TEXT, time TEXT) WITHOUT ROWID;
CREATE TABLE revisions (endpoint TEXT, revision INTEGER, model TEXT, version INTEGER, time TEXT, seq INTEGER,
    PRIMARY KEY (endpoint, revision)) WITHOUT ROWID;
"""


def _wanted(db: Connection, endpoint: str, event: Event) -> None:
    wanted = EndpointWanted.of(event)
    values = {
        "revision": wanted.revision,
        "model": wanted.model,
        "version": wanted.version,
        "reason": wanted.reason,
    }
    _endpoint(db, endpoint, event, "wanted", values)
    if wanted.model:
        made = {"model": wanted.model, "version": wanted.version, "time": event.time, "seq": event.seq}
        upsert(db, "revisions", {"endpoint": endpoint, "revision": wanted.revision}, made)


def _ready(db: Connection, endpoint: str, event: Event) -> None:
    ready = EndpointReady.of(event)
    _endpoint(db, endpoint, event, "ready", {"revision": ready.revision, "url": ready.url})


def _failed(db: Connection, endpoint: str, event: Event) -> None:
    failed = EndpointFailed.of(event)
    _endpoint(db, endpoint, event, "failed", {"revision": failed.revision, "reason": failed.reason})


def _stopped(db: Connection, endpoint: str, event: Event) -> None:
    _endpoint(db, endpoint, event, "stopped", {"revision": EndpointStopped.of(event).revision})


def _endpoint(db: Connection, endpoint: str, event: Event, state: str, values: dict[str, Any]) -> None:
    upsert(db, "endpoints", {"endpoint": endpoint}, {**values, "state": state, "time": event.time})


INDEX = IndexPart(
    tables=_TABLES,
    version=2,
    changes={
        ("endpoint", EndpointWanted.type): _wanted,
        ("endpoint", EndpointReady.type): _ready,
        ("endpoint", EndpointFailed.type): _failed,
        ("endpoint", EndpointStopped.type): _stopped,
    },
)
