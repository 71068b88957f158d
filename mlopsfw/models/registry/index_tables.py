"""Models, their versions and aliases in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.kernel.index.part import IndexPart, as_json, upsert
from mlopsfw.kernel.roles.event import Event

_TABLES = """
CREATE TABLE models (model TEXT PRIMARY KEY, latest INTEGER, time TEXT) WITHOUT ROWID;
CREATE TABLE versions (model TEXT, version INTEGER, bundle TEXT, run TEXT, time TEXT, actor TEXT, approved_by TEXT,
    seq INTEGER, facts TEXT, PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE TABLE aliases (model TEXT, alias TEXT, version INTEGER, was INTEGER, time TEXT, actor TEXT,
    PRIMARY KEY (model, alias)) WITHOUT ROWID;
"""


def _registered(db: Connection, model: str, event: Event) -> None:
    body = event.body
    upsert(db, "models", {"model": model}, {"latest": body["version"], "time": event.time})
    values = {"bundle": body.get("bundle"), "run": body.get("run"), "time": event.time, "actor": event.actor}
    values["seq"] = event.seq
    upsert(db, "versions", {"model": model, "version": body["version"]}, {**values, "facts": as_json(body)})


def _approved(db: Connection, model: str, event: Event) -> None:
    upsert(db, "versions", {"model": model, "version": event.body["version"]}, {"approved_by": event.actor})


def _moved(db: Connection, model: str, event: Event) -> None:
    body = event.body
    values = {"version": body["version"], "was": body.get("was"), "time": event.time, "actor": event.actor}
    upsert(db, "aliases", {"model": model, "alias": body["alias"]}, values)


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        ("model", "version.registered"): _registered,
        ("model", "version.approved"): _approved,
        ("model", "alias.moved"): _moved,
    },
)
