"""What endpoints serve, in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.kernel.index.part import IndexPart, Listing, upsert
from mlopsfw.kernel.roles.event import Event
from mlopsfw.serving.events import EndpointFailed, EndpointReady, EndpointStopped, EndpointWanted

_TABLES = """
CREATE TABLE revisions (endpoint TEXT, revision INTEGER, model TEXT, version INTEGER, reason TEXT, state TEXT, url TEXT,
    deployer TEXT, time TEXT, seq INTEGER, PRIMARY KEY (endpoint, revision)) WITHOUT ROWID;
"""


def _wanted(db: Connection, endpoint: str, event: Event) -> None:
    wanted = EndpointWanted.of(event)
    if wanted.model:
        values = {
            "model": wanted.model,
            "version": wanted.version,
            "reason": wanted.reason,
            "state": "wanted",
            "deployer": wanted.deployer,
            "time": event.time,
            "seq": event.seq,
        }
        upsert(db, "revisions", {"endpoint": endpoint, "revision": wanted.revision}, values)


def _ready(db: Connection, endpoint: str, event: Event) -> None:
    ready = EndpointReady.of(event)
    _became(db, endpoint, ready.revision, "ready", ready.url)


def _failed(db: Connection, endpoint: str, event: Event) -> None:
    _became(db, endpoint, EndpointFailed.of(event).revision, "failed")


def _stopped(db: Connection, endpoint: str, event: Event) -> None:
    _became(db, endpoint, EndpointStopped.of(event).revision, "stopped")


def _became(db: Connection, endpoint: str, revision: int, state: str, url: str = "") -> None:
    """Set the state; a version that was ready and could not be started again is no worse a version."""
    sql = "UPDATE revisions SET state = ?, url = ? WHERE endpoint = ? AND revision = ?"
    unless = " AND state <> 'ready'" if state == "failed" else ""
    db.execute(sql + unless, (state, url, endpoint, revision))


_ENDPOINTS = Listing(
    "endpoints",
    "what each endpoint serves: its last revision that did not fail",
    "SELECT endpoint, revision, model, version, state, url, deployer FROM revisions AS this WHERE revision ="
    " (SELECT max(revision) FROM revisions WHERE endpoint = this.endpoint AND state <> 'failed') ORDER BY endpoint",
)

INDEX = IndexPart(
    tables=_TABLES,
    listings=(_ENDPOINTS,),
    version=3,
    changes={
        ("endpoint", EndpointWanted.type): _wanted,
        ("endpoint", EndpointReady.type): _ready,
        ("endpoint", EndpointFailed.type): _failed,
        ("endpoint", EndpointStopped.type): _stopped,
    },
)
