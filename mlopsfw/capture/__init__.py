"""Captured predictions: written by a server to a local append-log, kept in the Delta table `captures/<endpoint>`.

This module is the reader's side. The server writes through `mlopsfw.capture.appendlog` and `records`, which import nothing heavy.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import NotFound, UnknownName
from mlopsfw.ids import check_name

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.project import Project

FOLDER = "captures"


class Captures:
    """The captured predictions of one project.

    Args:
        project: The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def folder(self, endpoint: str) -> Path:
        """Return where `endpoint`'s append-log lies on this machine."""
        return self._project.private_folder(FOLDER, check_name(endpoint, "endpoint"))

    def local(self) -> list[str]:
        """Return the endpoints that have an append-log on this machine."""
        return sorted(folder.name for folder in self._project.private_folder(FOLDER).iterdir() if folder.is_dir())

    def compact(self, endpoint: str) -> int:
        """Move what `endpoint` wrote since the last time into its tables; return how many prediction rows that were."""
        from mlopsfw.capture.appendlog import segments
        from mlopsfw.capture.compact import compact

        folder = self.folder(endpoint)
        return compact(folder, self._project.tables) if segments(folder) else 0

    def scan(
        self, endpoint: str, start: str | datetime | None = None, end: str | datetime | None = None
    ) -> pl.LazyFrame:
        """Return the predictions of `endpoint`, each once, the newest included.

        Args:
            endpoint: Its name.
            start: The first event time, with zone (RFC 3339 where it is a string); None for no bound.
            end: The event time that is the first no longer included; None for no bound.

        Returns:
            Columns `prediction_id`, `event_time` and `processed_time` (microseconds, UTC), `model`, `version`, `bundle`,
            `revision`, the model's inputs, its outputs; `input_<name>` for an input that is called like one of the former, and
            `<name>:<type>` for one that was of another type in an earlier version. Without any row, the first seven.
        """
        import polars as pl

        from mlopsfw.capture.frames import CAPTURE_COLUMNS

        self.compact(endpoint)
        try:
            rows = self._project.tables.scan(f"captures/{endpoint}")
        except NotFound:
            return pl.LazyFrame(schema=CAPTURE_COLUMNS)
        within = rows.filter(*_bounds(start, end))
        return within.unique("prediction_id", keep="first", maintain_order=True)

    def find(self, endpoint: str, prediction: str) -> dict[str, Any]:
        """Return what is known of one prediction besides its inputs and outputs: `CAPTURE_COLUMNS` → value, None for an impossible time.

        Raises:
            UnknownName: No such prediction was captured, or the endpoint captured none.
        """
        import polars as pl

        from mlopsfw.capture.frames import CAPTURE_COLUMNS, shown

        if endpoint in self.local():
            self.compact(endpoint)
        try:
            rows = self._project.tables.scan(f"captures/{check_name(endpoint, 'endpoint')}")
        except NotFound:
            raise UnknownName(f"no predictions of an endpoint {endpoint!r} were captured") from None
        named = rows.select(*CAPTURE_COLUMNS).filter(pl.col("prediction_id") == prediction).head(1)
        found = named.with_columns(shown("event_time"), shown("processed_time")).collect()
        if found.is_empty():
            hint = "The answer to a request holds the ids of its predictions."
            raise UnknownName(f"endpoint {endpoint!r} captured no prediction {prediction!r}", hint=hint)
        return found.row(0, named=True)


def _bounds(start: str | datetime | None, end: str | datetime | None) -> list[pl.Expr]:
    import polars as pl

    from mlopsfw.capture.frames import TIME
    from mlopsfw.capture.times import micros

    moment = pl.col("event_time")
    lower = [moment >= pl.lit(micros(start)).cast(TIME)] if start is not None else []
    upper = [moment < pl.lit(micros(end)).cast(TIME)] if end is not None else []
    return [*lower, *upper]
