"""Captured records as table rows. The only part of capture that knows Polars; the server never imports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import polars as pl

from mlopsfw.capture.records import Header, LabelRows, Predictions
from mlopsfw.capture.times import EARLIEST, LATEST
from mlopsfw.contracts.bundle import ColumnType

TIME = pl.Datetime("us", "UTC")

CAPTURE_COLUMNS: dict[str, Any] = {
    "prediction_id": pl.String,
    "event_time": TIME,
    "processed_time": TIME,
    "model": pl.String,
    "version": pl.Int64,
    "bundle": pl.String,
    "revision": pl.Int64,
}
"""What every row of a capture table says besides the model's inputs and outputs."""

LABEL_COLUMNS: dict[str, Any] = {
    "prediction_id": pl.String,
    "label": pl.String,
    "label_time": TIME,
    "received_time": TIME,
}
"""A table of labels. `label` is JSON text, since one table must take numbers, strings and booleans."""

_TYPES: dict[ColumnType, Any] = {
    "number": pl.Float64,
    "integer": pl.Int64,
    "boolean": pl.Boolean,
    "string": pl.String,
    "date": pl.String,
    "datetime": pl.String,
}


def shown(name: str) -> pl.Expr:
    """Return a column of times with null for each that no event has: some have no year that Python could show."""
    time = pl.col(name)
    return pl.when(time.cast(pl.Int64).is_between(EARLIEST, LATEST, closed="left")).then(time).alias(name)


def column_name(name: str) -> str:
    """Return under which name an input or output called `name` is stored: another only where it would hide one of ours."""
    return f"input_{name}" if name in CAPTURE_COLUMNS else name


def predictions_frame(header: Header, records: Sequence[Predictions]) -> pl.DataFrame:
    """Return one row a prediction: `CAPTURE_COLUMNS`, then the inputs, then the outputs."""
    rows = sum(len(r.ids) for r in records)
    series = [
        pl.Series("prediction_id", _joined([r.ids for r in records]), dtype=pl.String),
        pl.Series("event_time", _joined([r.event_times for r in records]), dtype=pl.Int64).cast(TIME),
        pl.Series("processed_time", _joined([[r.processed_time] * len(r.ids) for r in records])).cast(TIME),
        *(_constant(name, getattr(header, name), rows) for name in ("model", "version", "bundle", "revision")),
        *(_input(column.name, column.type, records) for column in header.inputs),
        *(_output(name, records) for name in header.outputs),
    ]
    return pl.DataFrame(series)


def beside(rows: pl.DataFrame, table: Mapping[str, Any]) -> pl.DataFrame:
    """Return `rows` with each column whose type differs from the table's under the name `<column>:<type>`.

    A later version of a model may take another type under an old name; its rows are kept beside, never cast or refused.
    """
    return rows.rename(
        {
            name: f"{name}:{str(kind).partition('(')[0].lower()}"
            for name, kind in rows.schema.items()
            if name in table and table[name] != kind
        }
    )


def labels_frame(records: Sequence[LabelRows]) -> pl.DataFrame:
    """Return one row a label: `LABEL_COLUMNS`."""
    labels = _joined([r.labels for r in records])
    return pl.DataFrame(
        [
            pl.Series("prediction_id", _joined([r.ids for r in records]), dtype=pl.String),
            pl.Series("label", [msgspec.json.encode(label).decode() for label in labels], dtype=pl.String),
            pl.Series("label_time", _joined([r.label_times for r in records]), dtype=pl.Int64).cast(TIME),
            pl.Series("received_time", _joined([[r.received_time] * len(r.ids) for r in records])).cast(TIME),
        ]
    )


def _joined(parts: Sequence[Sequence[Any]]) -> list[Any]:
    return list(chain.from_iterable(parts))


def _constant(name: str, value: object, rows: int) -> pl.Series:
    return pl.Series(name, [value], dtype=CAPTURE_COLUMNS[name]).new_from_index(0, rows)


def _input(name: str, kind: ColumnType, records: Sequence[Predictions]) -> pl.Series:
    values = _joined([r.inputs.get(name) or [None] * len(r.ids) for r in records])
    series = pl.Series(column_name(name), values, dtype=_TYPES[kind], strict=False)
    if kind == "date":
        return series.str.slice(0, 10).str.to_date(strict=False)
    return _moments(series) if kind == "datetime" else series


def _moments(texts: pl.Series) -> pl.Series:
    """Parse RFC 3339 texts, with or without a zone (without one is UTC), to microseconds UTC; what cannot be read is null."""
    zoned = texts.str.contains(r"([Zz]|[+-]\d\d:?\d\d)$")
    text = pl.select(pl.when(zoned).then(texts).otherwise(texts + "Z")).to_series().alias(texts.name)
    return text.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)


def _output(name: str, records: Sequence[Predictions]) -> pl.Series:
    return pl.Series(column_name(name), _joined([r.outputs[name] for r in records]))
