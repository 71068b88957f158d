"""Versions of datasets in the index."""

from __future__ import annotations

from sqlite3 import Connection

from mlopsfw.data.datasets.events import (
    VERSION_EVENTS,
    DatasetChecked,
    DatasetErased,
    DatasetTagged,
    DatasetUntagged,
)
from mlopsfw.kernel.index.part import IndexPart, as_json, upsert
from mlopsfw.kernel.roles.event import Event

_TABLES = """
CREATE TABLE datasets (dataset TEXT, version INTEGER, digest TEXT, rows INTEGER, time TEXT, actor TEXT, verdict TEXT,
    seq INTEGER, facts TEXT, PRIMARY KEY (dataset, version)) WITHOUT ROWID;
CREATE TABLE tags (dataset TEXT, tag TEXT, version INTEGER, PRIMARY KEY (dataset, tag)) WITHOUT ROWID;
"""


def _committed(db: Connection, dataset: str, event: Event) -> None:
    made = VERSION_EVENTS[event.type].of(event)
    values = {
        "digest": made.digest,
        "rows": made.rows,
        "time": event.time,
        "actor": event.actor,
        "seq": event.seq,
        "facts": as_json(event.body),
    }
    upsert(db, "datasets", {"dataset": dataset, "version": made.version}, values)


def _rows_erased(db: Connection, dataset: str, event: Event) -> None:
    for change in DatasetErased.of(event).versions:
        values = {"digest": change.digest, "rows": change.rows, "verdict": None}
        upsert(db, "datasets", {"dataset": dataset, "version": change.version}, values)


def _checked(db: Connection, dataset: str, event: Event) -> None:
    checked = DatasetChecked.of(event)
    upsert(db, "datasets", {"dataset": dataset, "version": checked.version}, {"verdict": checked.verdict})


def _tagged(db: Connection, dataset: str, event: Event) -> None:
    tagged = DatasetTagged.of(event)
    upsert(db, "tags", {"dataset": dataset, "tag": tagged.tag}, {"version": tagged.version})


def _untagged(db: Connection, dataset: str, event: Event) -> None:
    tag = DatasetUntagged.of(event).tag
    db.execute("DELETE FROM tags WHERE dataset = ? AND tag = ?", (dataset, tag))


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        **{("dataset", type_): _committed for type_ in VERSION_EVENTS},
        ("dataset", DatasetErased.type): _rows_erased,
        ("dataset", DatasetChecked.type): _checked,
        ("dataset", DatasetTagged.type): _tagged,
        ("dataset", DatasetUntagged.type): _untagged,
    },
)
