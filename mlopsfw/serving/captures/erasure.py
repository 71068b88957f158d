"""Erase a subject's rows from captured predictions and labels: in tables, and in the append-logs of running servers."""

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

_NOTICED = 3.0  # a server checks once a second whether its segment has gone, and then stops writing to it


class Rows(NamedTuple):
    """How many rows of an endpoint belong to a subject: predictions, and their labels."""

    predictions: int
    labels: int


class CaptureErasure:
    """The erasure of a subject's predictions and their labels: implements `kernel.component.Holding`.

    Args:
        services: The kernel's services.
        tables: Where predictions and labels are kept.
        captures: The captured predictions.
        endpoints: Know which models each endpoint has served.
    """

    def __init__(self, services: Services, tables: PlainTables, captures: Captures, endpoints: Endpoints) -> None:
        self._tables, self._captures, self._endpoints = tables, captures, endpoints
        self._erasure = TableErasure(services)

    def find(self, scope: ErasureScope) -> Held:
        """Return endpoint → the number of the subject's rows."""
        return _held({name: self.count(name, scope.subject) for name in scope.names("endpoints")})

    def erase(self, scope: ErasureScope) -> Held:
        """Remove them."""
        names = scope.names("endpoints")
        return _held({name: self.remove(name, scope.subject, again=scope.again) for name in names})

    def count(self, endpoint: str, subject: Subject) -> Rows:
        """Return the number of the subject's rows of an endpoint."""
        self._captures.compact(endpoint)
        predictions = self._erasure.count(f"captures/{endpoint}", subject.rows)
        if not predictions:
            return Rows(0, 0)
        ids = self._ids(endpoint, subject)
        labels = sum(self._erasure.count(f"labels/{model}", _with_ids(ids)) for model in self._models(endpoint))
        return Rows(predictions, labels)

    def remove(self, endpoint: str, subject: Subject, *, again: bool) -> Rows:
        """Remove the subject's rows: first from the append-log, then labels, then predictions, which say whose the labels are.

        Args:
            endpoint: The endpoint.
            subject: The subject.
            again: Whether an earlier erasure of the subject was interrupted, so that files may still hold rows that the table lacks.
        """
        rows = self.count(endpoint, subject)
        if not (rows.predictions or again):
            return rows
        drain(self._captures.folder(endpoint), self._tables)
        ids = self._ids(endpoint, subject)
        labels = sum(self._erasure.remove(f"labels/{model}", _with_ids(ids)) for model in self._models(endpoint))
        return Rows(self._erasure.remove(f"captures/{endpoint}", subject.rows), labels)

    def _ids(self, endpoint: str, subject: Subject) -> list[str]:
        """Return every id by which labels may name the subject's predictions: the server's ids, and those of clients."""
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
    """Move everything that an endpoint's servers wrote so far into its tables, and delete its files, while the servers keep writing.

    It renames a server's segment; the server notices within a second and opens another one. Everything written until then is read.

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
    for torn in folder.glob("*.torn"):  # its complete records are in the tables
        torn.unlink()


def _with_ids(ids: list[str]) -> Which:
    import polars as pl

    return lambda _: pl.col("prediction_id").is_in(ids)
