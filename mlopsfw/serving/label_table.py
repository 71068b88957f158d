"""The tables of labels, `labels/<model>`, and the predictions that the labels may name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import NotFound

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.capturelog.records import LabelRows
    from mlopsfw.data.tables.plain import PlainTables
    from mlopsfw.serving.captures import Captures
    from mlopsfw.serving.endpoints import Endpoints


class LabelTable:
    """The stored labels of every model of a project.

    Args:
        tables: Where the tables are.
        captures: The captured predictions; labels that came through an endpoint stand in the same logs.
        endpoints: The endpoints there are.
    """

    def __init__(self, tables: PlainTables, captures: Captures, endpoints: Endpoints) -> None:
        self._tables, self._captures, self._endpoints = tables, captures, endpoints

    def append(self, model: str, labels: LabelRows) -> int:
        """Store labels of a model; return the table's new version."""
        from mlopsfw.serving.captures.frames import labels_frame

        return self._tables.append(f"labels/{model}", labels_frame([labels]))

    def stored(self, model: str) -> pl.LazyFrame:
        """Return every label of a model, in no order: `LABEL_TABLE`. First moves those that came through an endpoint into the table."""
        import polars as pl

        from mlopsfw.serving.captures.frames import LABEL_TABLE, completed

        for endpoint in self._captures.local():
            self._captures.compact(endpoint)
        try:
            return completed(self._tables.scan(f"labels/{model}"), LABEL_TABLE)
        except NotFound:
            return pl.LazyFrame(schema=LABEL_TABLE)

    def predictions(self, model: str, endpoint: str) -> pl.LazyFrame:
        """Return the rows of `Captures.names` of a model at every endpoint, with `endpoint` and the prediction of each."""
        import polars as pl

        endpoints = sorted({endpoint, *self._captures.local(), *self._endpoints.list()})
        names = [self._captures.names(each).with_columns(endpoint=pl.lit(each)) for each in endpoints]
        return pl.concat(names).filter(pl.col("model") == model)
