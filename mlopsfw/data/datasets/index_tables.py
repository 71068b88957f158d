"""Versions of datasets in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.kernel.index.part import IndexPart, as_json, upsert
from mlopsfw.kernel.roles.event import Event

_TABLES = """
CREATE TABLE datasets (dataset TEXT, version INTEGER, digest TEXT, rows INTEGER, time TEXT, actor TEXT, facts TEXT,
    PRIMARY KEY (dataset, version)) WITHOUT ROWID;
"""


def _committed(db: Connection, dataset: str, event: Event) -> None:
    body = event.body
    values = {"digest": body.get("digest"), "rows": body.get("rows"), "time": event.time, "actor": event.actor}
    upsert(db, "datasets", {"dataset": dataset, "version": body["version"]}, {**values, "facts": as_json(body)})


def _rows_erased(db: Connection, dataset: str, event: Event) -> None:
    for change in event.body["versions"]:
        values = {"digest": change["digest"], "rows": change["rows"]}
        upsert(db, "datasets", {"dataset": dataset, "version": change["version"]}, values)


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        ("dataset", "dataset.committed"): _committed,
        ("dataset", "dataset.referenced"): _committed,
        ("dataset", "dataset.restored"): _committed,
        ("dataset", "dataset.erased"): _rows_erased,
    },
)
