"""Captured predictions: a server writes them to a local append-log; the Delta table `captures/<endpoint>` stores them.

This module reads them. The server writes through `mlopsfw.capturelog.appendlog` and `records`, which import nothing heavy.

"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.folders import log_folder, logged_endpoints
from mlopsfw.kernel.base.errors import NotFound, UnknownName
from mlopsfw.kernel.base.ids import check_name

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.tables.plain import PlainTables
    from mlopsfw.kernel.workspace import Workspace


class Captures:
    """The captured predictions of one project.

    Args:
        workspace: Where servers of this machine write their logs.
        tables: Where captured predictions are kept.
    """

    def __init__(self, workspace: Workspace, tables: PlainTables) -> None:
        self._workspace, self._tables = workspace, tables

    def folder(self, endpoint: str) -> Path:
        """Return the folder of `endpoint`'s append-log on this machine."""
        return log_folder(self._workspace.root, endpoint)

    def local(self) -> list[str]:
        """Return the endpoints that have an append-log on this machine."""
        return logged_endpoints(self._workspace.root)

    def check_place(self, endpoint: str) -> None:
        """Raise `TablesUnsupported` where predictions of `endpoint` could not be kept: blobs are encrypted, and tables are not."""
        self._tables.check(_table_name(endpoint))

    def compact(self, endpoint: str) -> int:
        """Move the new records of `endpoint` into its tables; return how many predictions they hold."""
        from mlopsfw.capturelog.appendlog import segments
        from mlopsfw.serving.captures.compact import compact

        folder = self.folder(endpoint)
        return compact(folder, self._tables) if segments(folder) else 0

    def scan(
        self, endpoint: str, start: str | datetime | None = None, end: str | datetime | None = None
    ) -> pl.LazyFrame:
        """Return the predictions of `endpoint`, each once, including the newest.

        Args:
            endpoint: Its name.
            start: The first event time, with zone (RFC 3339 as a string); None for no bound.
            end: The end of the event times, exclusive; None for no bound.

        Returns:
            Columns `prediction_id`, `event_time` and `processed_time` (microseconds, UTC), `model`, `version`, `bundle`,
            `revision`, `client_request_id` and `client_request_row` (the client's own id of the request, and the row if it had
            several), the model's inputs, its outputs; `input_<name>` for an input with one of these names, and
            `<name>:<type>` for one that had another type in an earlier version. Without any row, the first nine.
        """
        from mlopsfw.serving.captures.frames import LOG_COLUMNS

        self.compact(endpoint)
        return self._rows(endpoint, start, end).drop(*LOG_COLUMNS)

    def names(
        self, endpoint: str, start: str | datetime | None = None, end: str | datetime | None = None
    ) -> pl.LazyFrame:
        """Return the ids by which a label may name each prediction that `scan` returns.

        Returns:
            Columns `prediction_id`, `model`, `version`, `processed_time`; `id`, which the server made, and `name`, which the client
            chose: its request's id, followed by `-<row>` where the request had several rows. Rows that older versions stored have a
            `name` alone: their ids were the clients'. Two predictions may have one name.
        """
        import polars as pl

        named = pl.concat_str("client_request_id", pl.lit("-") + pl.col("client_request_row").cast(pl.String))
        name = pl.when(pl.col("client_request_row").is_null()).then("client_request_id").otherwise(named)
        old = pl.col("log_segment").is_null()
        return self._rows(endpoint, start, end).select(
            "prediction_id", "model", "version", "processed_time",
            id=pl.when(~old).then("prediction_id"), name=pl.when(old).then("prediction_id").otherwise(name),
        )  # fmt: skip

    def _rows(self, endpoint: str, start: str | datetime | None, end: str | datetime | None) -> pl.LazyFrame:
        """Return the rows of the table, each once. Drops the repetitions of a crash, whatever ids clients chose."""
        import polars as pl

        from mlopsfw.serving.captures.frames import CAPTURE_COLUMNS, LOG_COLUMNS, ONCE, completed

        columns = CAPTURE_COLUMNS | LOG_COLUMNS
        try:
            rows = completed(self._tables.scan(_table_name(endpoint)), columns)
        except NotFound:
            return pl.LazyFrame(schema=columns)
        return rows.filter(*_bounds(start, end)).unique(ONCE, keep="first", maintain_order=True)

    def find(self, endpoint: str, prediction: str) -> dict[str, Any]:
        """Return the facts of one prediction besides its inputs and outputs: `CAPTURE_COLUMNS` → value, None for an impossible time.

        Args:
            endpoint: The endpoint that made it.
            prediction: The id in the answer, or the client's own as in `names` if only one prediction has it.

        Raises:
            UnknownName: The endpoint captured no such prediction, or several have this id.
        """
        import polars as pl

        from mlopsfw.serving.captures.frames import CAPTURE_COLUMNS, shown

        if endpoint in self.local():
            self.compact(endpoint)
        rows, names = self._rows(endpoint, None, None), self.names(endpoint)
        called = names.filter((pl.col("id") == prediction) | (pl.col("name") == prediction)).collect()
        matches = called.filter(pl.col("id") == prediction) if prediction in called["id"] else called
        if matches.height > 1:
            raise UnknownName(
                f"endpoint {endpoint!r} captured {matches.height} predictions that clients called {prediction!r}",
                hint="Use the id from `prediction_ids` in the answer.",
            )
        if matches.is_empty():
            hint = "The answer to a request holds the ids of its predictions."
            raise UnknownName(f"endpoint {endpoint!r} captured no prediction {prediction!r}", hint=hint)
        row = rows.filter(pl.col("prediction_id") == matches["prediction_id"][0]).select(*CAPTURE_COLUMNS).first()
        return row.with_columns(shown("event_time"), shown("processed_time")).collect().row(0, named=True)


def _bounds(start: str | datetime | None, end: str | datetime | None) -> list[pl.Expr]:
    import polars as pl

    from mlopsfw.capturelog.times import micros
    from mlopsfw.serving.captures.frames import TIME

    moment = pl.col("event_time")
    lower = [moment >= pl.lit(micros(start)).cast(TIME)] if start is not None else []
    upper = [moment < pl.lit(micros(end)).cast(TIME)] if end is not None else []
    return [*lower, *upper]


def _table_name(endpoint: str) -> str:
    return f"captures/{check_name(endpoint, 'endpoint')}"
