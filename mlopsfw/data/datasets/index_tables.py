"""Versions of datasets in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.data.datasets.versions import verdict
from mlopsfw.kernel.index.part import IndexPart, as_json, upsert
from mlopsfw.kernel.roles.event import Event

_TABLES = """
CREATE TABLE datasets (dataset TEXT, version INTEGER, digest TEXT, rows INTEGER, time TEXT, actor TEXT, verdict TEXT,
    seq INTEGER, facts TEXT, PRIMARY KEY (dataset, version)) WITHOUT ROWID;
CREATE TABLE tags (dataset TEXT, tag TEXT, version INTEGER, PRIMARY KEY (dataset, tag)) WITHOUT ROWID;
"""


def _committed(db: Connection, dataset: str, event: Event) -> None:
    body = event.body
    values = {"digest": body.get("digest"), "rows": body.get("rows"), "time": event.time, "actor": event.actor}
    values["seq"] = event.seq
    upsert(db, "datasets", {"dataset": dataset, "version": body["version"]}, {**values, "facts": as_json(body)})


def _rows_erased(db: Connection, dataset: str, event: Event) -> None:
    for change in event.body["versions"]:
        values = {"digest": change["digest"], "rows": change["rows"], "verdict": None}
        upsert(db, "datasets", {"dataset": dataset, "version": change["version"]}, values)


def _checked(db: Connection, dataset: str, event: Event) -> None:
    keys = {"dataset": dataset, "version": event.body["version"]}
    upsert(db, "datasets", keys, {"verdict": verdict(event.body)})


def _tagged(db: Connection, dataset: str, event: Event) -> None:
    upsert(db, "tags", {"dataset": dataset, "tag": event.body["tag"]}, {"version": event.body["version"]})


def _untagged(db: Connection, dataset: str, event: Event) -> None:
    db.execute("DELETE FROM tags WHERE dataset = ? AND tag = ?", (dataset, event.body["tag"]))


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        ("dataset", "dataset.committed"): _committed,
        ("dataset", "dataset.referenced"): _committed,
        ("dataset", "dataset.restored"): _committed,
        ("dataset", "dataset.erased"): _rows_erased,
        ("dataset", "dataset.checked"): _checked,
        ("dataset", "dataset.tagged"): _tagged,
        ("dataset", "dataset.untagged"): _untagged,
    },
)
