"""Models, their versions and aliases in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.kernel.index.part import IndexPart, as_json, upsert
from mlopsfw.kernel.roles.event import Event
from mlopsfw.models.registry.events import AliasMoved, VersionApproved, VersionRegistered

_TABLES = """
CREATE TABLE models (model TEXT PRIMARY KEY, latest INTEGER, time TEXT) WITHOUT ROWID;
CREATE TABLE versions (model TEXT, version INTEGER, bundle TEXT, run TEXT, time TEXT, actor TEXT, approved_by TEXT,
    seq INTEGER, facts TEXT, PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE TABLE aliases (model TEXT, alias TEXT, version INTEGER, was INTEGER, time TEXT, actor TEXT,
    PRIMARY KEY (model, alias)) WITHOUT ROWID;
"""


def _registered(db: Connection, model: str, event: Event) -> None:
    registered = VersionRegistered.of(event)
    upsert(db, "models", {"model": model}, {"latest": registered.version, "time": event.time})
    values = {
        "bundle": registered.bundle,
        "run": registered.run,
        "time": event.time,
        "actor": event.actor,
        "seq": event.seq,
        "facts": as_json(event.body),
    }
    upsert(db, "versions", {"model": model, "version": registered.version}, values)


def _approved(db: Connection, model: str, event: Event) -> None:
    version = VersionApproved.of(event).version
    upsert(db, "versions", {"model": model, "version": version}, {"approved_by": event.actor})


def _moved(db: Connection, model: str, event: Event) -> None:
    moved = AliasMoved.of(event)
    values = {"version": moved.version, "was": moved.was, "time": event.time, "actor": event.actor}
    upsert(db, "aliases", {"model": model, "alias": moved.alias}, values)


INDEX = IndexPart(
    tables=_TABLES,
    version=2,
    changes={
        ("model", VersionRegistered.type): _registered,
        ("model", VersionApproved.type): _approved,
        ("model", AliasMoved.type): _moved,
    },
)
