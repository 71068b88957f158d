"""Captured records as table rows. The only capture module that imports Polars; the server never imports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import msgspec
import polars as pl

from mlopsfw.capturelog.records import Header, LabelRows, Predictions
from mlopsfw.capturelog.times import EARLIEST, LATEST
from mlopsfw.kernel.roles.bundle import ColumnType

T = TypeVar("T")

TIME = pl.Datetime("us", "UTC")

CAPTURE_COLUMNS: dict[str, Any] = {
    "prediction_id": pl.String,
    "event_time": TIME,
    "processed_time": TIME,
    "model": pl.String,
    "version": pl.Int64,
    "bundle": pl.String,
    "revision": pl.Int64,
    "client_request_id": pl.String,
    "client_request_row": pl.Int64,
}
"""The columns of every capture table besides the model's inputs and outputs. The client's own id is an attribute, never a key."""

LOG_COLUMNS: dict[str, Any] = {"log_segment": pl.String, "log_offset": pl.Int64}
"""The position of a row in the append-log. A repetition after a crash has the same position. Null in rows of older versions."""

ONCE = ("prediction_id", *LOG_COLUMNS, "event_time", "processed_time")
"""Rows with equal values in these are one row, repeated after a crash. The times distinguish rows that older versions stored under one id."""

LABEL_COLUMNS: dict[str, Any] = {
    "prediction_id": pl.String,
    "label": pl.String,
    "label_time": TIME,
    "received_time": TIME,
}
"""A table of labels. `label` is JSON text, since one table must hold numbers, strings and booleans unchanged."""

ARRIVAL = ("received_time", "log_segment", "log_offset", "log_row")
"""The order in which labels arrived: by this machine's clock, then by position in the log, then by row of the request or file."""

LABEL_TABLE: dict[str, Any] = {**LABEL_COLUMNS, "endpoint": pl.String, **LOG_COLUMNS, "log_row": pl.Int64}
"""The stored columns of a label. `endpoint` is where it was sent; null for a label from a file or from Python."""

Placed = tuple[int, T]
"""A record, and the offset of its end in its segment."""

_TYPES: dict[ColumnType, Any] = {
    "number": pl.Float64,
    "integer": pl.Int64,
    "boolean": pl.Boolean,
    "string": pl.String,
    "date": pl.String,
    "datetime": pl.String,
    "binary": pl.String,
}


def shown(name: str) -> pl.Expr:
    """Return a column of times with null for impossible ones, such as those in years that Python does not support."""
    time = pl.col(name)
    return pl.when(time.cast(pl.Int64).is_between(EARLIEST, LATEST, closed="left")).then(time).alias(name)


def column_name(name: str) -> str:
    """Return the column of the input or output `name`: another name only if it would hide one of ours."""
    return f"input_{name}" if name in CAPTURE_COLUMNS or name in LOG_COLUMNS else name


def completed(rows: pl.LazyFrame, wanted: Mapping[str, Any]) -> pl.LazyFrame:
    """Return `rows` with nulls in each of the `wanted` columns that an older table lacks."""
    there = rows.collect_schema()
    return rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in wanted.items() if name not in there)


def predictions_frame(header: Header, segment: str, placed: Sequence[Placed[Predictions]]) -> pl.DataFrame:
    """Return one row per prediction: `CAPTURE_COLUMNS`, the inputs, the outputs, then `LOG_COLUMNS`."""
    records = [record for _, record in placed]
    rows = sum(len(r.ids) for r in records)
    series = [
        pl.Series("prediction_id", _joined([r.ids for r in records]), dtype=pl.String),
        pl.Series("event_time", _joined([r.event_times for r in records]), dtype=pl.Int64).cast(TIME),
        pl.Series("processed_time", _joined([[r.processed_time] * len(r.ids) for r in records])).cast(TIME),
        *(_constant(name, getattr(header, name), rows) for name in ("model", "version", "bundle", "revision")),
        *_requests(records),
        *(_input(column.name, column.type, records) for column in header.inputs),
        *(_output(name, records) for name in header.outputs),
        *_log_positions(segment, placed),
    ]
    return pl.DataFrame(series)


def _requests(records: Sequence[Predictions]) -> list[pl.Series]:
    """Return the client's id of each row, and its row in the request if that has several."""
    ids = _joined([[r.request_id] * len(r.ids) for r in records])
    rows = _joined([_request_rows(record) for record in records])
    return [
        pl.Series("client_request_id", ids, dtype=pl.String),
        pl.Series("client_request_row", rows, dtype=pl.Int64),
    ]


def _request_rows(record: Predictions) -> Sequence[int | None]:
    rows, first = len(record.ids), record.first_row
    if not record.request_id or (rows == 1 and first is None):
        return [None] * rows
    return range(first or 0, (first or 0) + rows)


def _log_positions(segment: str, placed: Sequence[Placed[Any]]) -> list[pl.Series]:
    offsets = _joined([[offset] * len(record.ids) for offset, record in placed])
    return [
        pl.Series("log_segment", [segment], dtype=pl.String).new_from_index(0, len(offsets)),
        pl.Series("log_offset", offsets, dtype=pl.Int64),
    ]


def beside(rows: pl.DataFrame, table: Mapping[str, Any]) -> pl.DataFrame:
    """Return `rows` with each column whose type differs from the table's renamed to `<column>:<type>`.

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
    """Return one row per label: `LABEL_COLUMNS`, and its row in the record."""
    labels = _joined([r.labels for r in records])
    return pl.DataFrame(
        [
            pl.Series("prediction_id", _joined([r.ids for r in records]), dtype=pl.String),
            pl.Series("label", [msgspec.json.encode(label).decode() for label in labels], dtype=pl.String),
            pl.Series("label_time", _joined([r.label_times for r in records]), dtype=pl.Int64).cast(TIME),
            pl.Series("received_time", _joined([[r.received_time] * len(r.ids) for r in records])).cast(TIME),
            pl.Series("log_row", _joined([range(len(r.ids)) for r in records]), dtype=pl.Int64),
        ]
    )


def logged_labels_frame(header: Header, segment: str, placed: Sequence[Placed[LabelRows]]) -> pl.DataFrame:
    """Return one row per label that came through an endpoint: `LABEL_TABLE`."""
    frame = labels_frame([record for _, record in placed])
    endpoint = pl.Series("endpoint", [header.endpoint], dtype=pl.String).new_from_index(0, frame.height)
    return frame.with_columns(endpoint, *_log_positions(segment, placed))


def _joined(parts: Sequence[Sequence[Any]]) -> list[Any]:
    return list(chain.from_iterable(parts))


def _constant(name: str, value: object, rows: int) -> pl.Series:
    return pl.Series(name, [value], dtype=CAPTURE_COLUMNS[name]).new_from_index(0, rows)


def _input(name: str, kind: ColumnType, records: Sequence[Predictions]) -> pl.Series:
    values = _joined([r.inputs.get(name) or [None] * len(r.ids) for r in records])
    if kind not in _TYPES:  # a list or a tensor
        return pl.Series(column_name(name), values, strict=False)
    series = pl.Series(column_name(name), values, dtype=_TYPES[kind], strict=False)
    if kind == "date":
        return series.str.slice(0, 10).str.to_date(strict=False)
    return _moments(series) if kind == "datetime" else series


def _moments(texts: pl.Series) -> pl.Series:
    """Parse RFC 3339 texts (UTC without a zone) to microseconds UTC; null for a text that is no time."""
    zoned = texts.str.contains(r"([Zz]|[+-]\d\d:?\d\d)$")
    text = pl.select(pl.when(zoned).then(texts).otherwise(texts + "Z")).to_series().alias(texts.name)
    return text.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)


def _output(name: str, records: Sequence[Predictions]) -> pl.Series:
    return pl.Series(column_name(name), _joined([r.outputs[name] for r in records]))
