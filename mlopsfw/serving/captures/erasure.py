"""Captured predictions and labels without a subject's rows, in tables and in the append-logs of servers that go on writing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlopsfw.capturelog import appendlog
from mlopsfw.data.tables.erasure import TableErasure, Which
from mlopsfw.kernel.base.errors import Conflict
from mlopsfw.kernel.component import Held
from mlopsfw.serving.captures.compact import compact, put_aside

if TYPE_CHECKING:
    from mlopsfw.data.tables.plain import PlainTables
    from mlopsfw.kernel.component import ErasureScope, Subject
    from mlopsfw.kernel.services import Services
    from mlopsfw.serving.captures import Captures
    from mlopsfw.serving.endpoints import Endpoints

_NOTICED = 3.0  # seconds in which a server notices, once a second, that its segment has gone, and writes no more to it


class Rows(NamedTuple):
    """How many rows of an endpoint are a subject's: predictions, and labels of them."""

    predictions: int
    labels: int


class CaptureErasure:
    """Endpoints' predictions, and the labels of them, that lose a subject's rows: implements `kernel.component.Holding`.

    Args:
        services: The kernel's.
        tables: Where predictions and labels are kept.
        captures: The captured predictions.
        endpoints: Know which models each endpoint has served.
    """

    def __init__(self, services: Services, tables: PlainTables, captures: Captures, endpoints: Endpoints) -> None:
        self._tables, self._captures, self._endpoints = tables, captures, endpoints
        self._erasure = TableErasure(services)

    def find(self, scope: ErasureScope) -> Held:
        """Return endpoint → how many rows are the subject's."""
        return _held({name: self.count(name, scope.subject) for name in scope.names("endpoints")})

    def erase(self, scope: ErasureScope) -> Held:
        """Remove them."""
        names = scope.names("endpoints")
        return _held({name: self.remove(name, scope.subject, again=scope.again) for name in names})

    def count(self, endpoint: str, subject: Subject) -> Rows:
        """Return how many rows of an endpoint are the subject's."""
        self._captures.compact(endpoint)
        predictions = self._erasure.count(f"captures/{endpoint}", subject.rows)
        if not predictions:
            return Rows(0, 0)
        ids = self._ids(endpoint, subject)
        labels = sum(self._erasure.count(f"labels/{model}", _with_ids(ids)) for model in self._models(endpoint))
        return Rows(predictions, labels)

    def remove(self, endpoint: str, subject: Subject, *, again: bool) -> Rows:
        """Remove the subject's rows. The append-log first, then labels, then predictions: they tell which labels are meant.

        Args:
            endpoint: The endpoint.
            subject: Whose rows.
            again: Whether an erasure of the subject was cut short: rows that are gone may still stand in files that are not.
        """
        rows = self.count(endpoint, subject)
        if not (rows.predictions or again):
            return rows
        drain(self._captures.folder(endpoint), self._tables)
        ids = self._ids(endpoint, subject)
        labels = sum(self._erasure.remove(f"labels/{model}", _with_ids(ids)) for model in self._models(endpoint))
        return Rows(self._erasure.remove(f"captures/{endpoint}", subject.rows), labels)

    def _ids(self, endpoint: str, subject: Subject) -> list[str]:
        """Return every id by which labels may name the subject's predictions: the server's, and those that clients chose."""
        import polars as pl

        if not self._tables.exists(f"captures/{endpoint}"):
            return []
        rows = self._tables.scan(f"captures/{endpoint}")
        theirs = subject.rows(rows.collect_schema())
        if theirs is None:
            return []
        ids = rows.filter(theirs).select("prediction_id")
        names = self._captures.names(endpoint).join(ids, on="prediction_id", how="semi")
        every = pl.concat([ids.select(called="prediction_id"), names.select(called="name")])
        return every.drop_nulls().collect()["called"].to_list()

    def _models(self, endpoint: str) -> list[str]:
        return sorted({change.model for change in self._endpoints.history(endpoint)})


def _held(rows: Mapping[str, Rows]) -> Held:
    return Held(
        {
            "captures": {name: each.predictions for name, each in rows.items() if each.predictions},
            "labels": {name: each.labels for name, each in rows.items() if each.labels},
        }
    )


def drain(folder: Path, tables: PlainTables) -> None:
    """Move all that an endpoint's servers wrote so far into its tables, and leave no file with it, though they write on.

    A server's segment is renamed; the server notices within a second and opens another one. What it wrote until then is read.

    Raises:
        Conflict: A server goes on writing to a segment that is gone: it hangs.
    """
    renamed = put_aside(folder)
    end = time.monotonic() + _NOTICED
    while any(path.exists() and appendlog.is_open(path) for path in renamed) and time.monotonic() < end:
        time.sleep(0.1)
    sizes = {path: path.stat().st_size for path in renamed if path.exists()}
    compact(folder, tables)
    for path, size in sizes.items():
        if path.exists():
            if path.stat().st_size != size:
                raise Conflict(
                    f"a server still writes to {path}",
                    hint="Check the server with `mlopsfw endpoints status`, and run this again.",
                )
            path.unlink()
    for torn in folder.glob("*.torn"):  # its whole records are in the tables
        torn.unlink()


def _with_ids(ids: list[str]) -> Which:
    import polars as pl

    return lambda _: pl.col("prediction_id").is_in(ids)
