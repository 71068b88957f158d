"""Durations and times of day as texts, such as 30:00:00: tables have no type for them, and the reader's texts show a date of 1899 instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:")
_NO_DATE = ("1899-", "1900-")
"""How the reader's text of a duration or a time of day begins; it counts days from the end of 1899."""


def loaded(load: Callable[..., Any], mixed: type[Exception], texts: set[int]) -> pa.RecordBatch:
    """Return a sheet's columns; a column of durations among other values becomes text, as one of other several kinds does.

    Args:
        load: Loads columns, all unless `use_columns` has their positions; `dtypes` has types by position.
        mixed: What it raises where a column has durations and other values.
        texts: The positions of columns to load as texts.
    """
    import pyarrow as pa

    try:
        batch = pa.record_batch(load(dtypes=dict.fromkeys(texts, "string") or None))
    except mixed:
        width = pa.record_batch(load(dtypes="string")).num_columns
        texts |= {index for index in range(width) if _kind(load, mixed, index) is None}
        batch = pa.record_batch(load(dtypes=dict.fromkeys(texts, "string")))
    columns = [_spelled(load, mixed, index, values) for index, values in enumerate(batch.columns)]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _spelled(load: Callable[..., Any], mixed: type[Exception], index: int, values: pa.Array) -> pa.Array:
    """Return a column with durations and times of day as texts."""
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_duration(values.type):
        return pa.array(map(_span, _millis(values)), pa.string())
    texts = values.to_pylist() if t.is_string(values.type) else []
    if not any(text and _MOMENT.match(text) for text in texts):
        return values
    kind = _kind(load, mixed, index)
    if kind is not None and t.is_timestamp(kind) and not all(text.startswith(_NO_DATE) for text in texts if text):
        return values
    spans = _millis(pa.record_batch(load(use_columns=[index], dtypes={index: "duration"})).column(0))
    is_all = kind is not None and t.is_duration(kind)
    pairs = zip(texts, spans, strict=True)
    return pa.array(
        [_span(ms) if ms is not None and (is_all or text.startswith(_NO_DATE)) else text for text, ms in pairs],
        pa.string(),
    )


def _kind(load: Callable[..., Any], mixed: type[Exception], index: int) -> pa.DataType | None:
    """Return the type of a column, None if it has durations and other values."""
    import pyarrow as pa

    try:
        return pa.record_batch(load(use_columns=[index])).schema.field(0).type
    except mixed:
        return None


def _millis(values: pa.Array) -> Sequence[int | None]:
    import pyarrow as pa

    millis: list[int | None] = values.cast(pa.duration("ms")).cast(pa.int64()).to_pylist()
    return millis


def _span(millis: int | None) -> str | None:
    """Return a duration as hours, minutes and seconds."""
    if millis is None:
        return None
    seconds, rest = divmod(abs(millis), 1000)
    text = f"{'-' if millis < 0 else ''}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{rest:03}" if rest else text
