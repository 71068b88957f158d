"""The rows of a PostgreSQL query, streamed by its ADBC driver in one cursor, and its values in types that a table has.

Numerics become float64; UUIDs, JSON and times of day become texts, within arrays too; the driver gives arrays in one dimension.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from mlopsfw_source_sql.sqlite import Reject

_FIRST_DAY = -2_440_588  # from 1970 to 4714 BC, PostgreSQL's first; what is infinite or too late wraps to before it
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_SHOWN = 40  # characters of a value: a numeric may have a hundred thousand
_FROM_2000 = 10_957  # days from 1970 to 2000, from which PostgreSQL counts


def read(url: str, query: str, reject: Reject) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query less those with a value that no type of a table holds: infinite times, too great numerics.

    Args:
        url: The database.
        query: What to read.
        reject: Told of each row that is left out; may raise.

    Raises:
        DataError: A column is of a type that no table has, such as an interval.
        MissingExtra: The driver is not installed.
    """
    import pyarrow as pa

    try:
        driver = importlib.import_module("adbc_driver_postgresql.dbapi")
    except ImportError:
        raise MissingExtra("reading PostgreSQL", "sql") from None
    with driver.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        reader = cursor.fetch_record_batch()
        none = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in reader.schema], schema=reader.schema)
        yield _held(none, 0, reject)  # without rows there are no batches
        before = 0
        for batch in reader:
            yield _held(batch, before, reject)
            before += batch.num_rows


def _held(batch: pa.RecordBatch, before: int, reject: Reject) -> pa.RecordBatch:
    import numpy as np
    import pyarrow as pa

    columns: list[pa.Array] = []
    bad: dict[int, str] = {}
    for field, given in zip(batch.schema, batch.columns, strict=True):
        own = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        kept, lost = _column(given, own, field.name)
        columns.append(kept)
        for row in lost.tolist():
            bad.setdefault(
                row, f"{field.name} is {str(_told(given, row))[:_SHOWN]}, which a column of {kept.type} cannot hold"
            )
    ours = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    if not bad:
        return ours
    for row in sorted(bad):
        values = {name: _told(column, row) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
        reject(before + row + 1, bad[row], values)
    return ours.filter(pa.array(~np.isin(np.arange(ours.num_rows), list(bad))))


def _column(values: pa.Array, own: str, name: str) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return a column of PostgreSQL's type `own` as a table has it, and the rows that it holds wrongly."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_list(values.type):
        inner, lost = _column(values.values, own.removeprefix("_"), name)
        rows = np.searchsorted(values.offsets.to_numpy(), lost, side="right") - 1
        return pa.ListArray.from_arrays(values.offsets, inner, mask=values.is_null()), np.unique(rows)
    if own == "money":  # whole cents
        raise DataError(f"column {name!r} is money", hint=f"Cast it in the query: {name}::numeric.")
    if pa.types.is_interval(values.type):
        raise DataError(f"column {name!r} is an interval", hint=f"Cast it: EXTRACT(epoch FROM {name}).")
    if isinstance(values.type, pa.UuidType) or pa.types.is_time(values.type):
        texts = [None if value is None else str(value) for value in values.to_pylist()]
        return pa.array(texts, pa.string()), np.zeros(0, np.int64)
    if isinstance(values.type, pa.OpaqueType) and not pa.types.is_string(values.type.storage_type):
        raise DataError(f"column {name!r} is of the type {own}", hint=f"Cast it in the query: {name}::text.")
    kept = values.storage if isinstance(values, pa.ExtensionArray) else values
    kept = kept.cast(pa.float64()) if own == "numeric" else kept
    return kept, np.flatnonzero(_lost(values, kept, own))


def _lost(values: pa.Array, kept: pa.Array, own: str) -> NDArray[np.bool_]:
    """Return where a time is infinite or too late, which the driver makes a day before the first, or a numeric too great."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if own == "numeric":
        lost = pc.and_not(pc.is_inf(kept), pc.match_substring(values.storage, "inf", ignore_case=True))
    elif pa.types.is_date32(kept.type):
        lost = pc.less(kept.view(pa.int32()), _FIRST_DAY)
    elif pa.types.is_timestamp(kept.type):
        lost = pc.less(kept.view(pa.int64()), _FIRST_DAY * _PER_DAY[kept.type.unit])
    else:
        return np.zeros(0, np.bool_)
    return np.asarray(pc.fill_null(lost, fill_value=False).to_numpy(zero_copy_only=False), np.bool_)


def _told(values: pa.Array, row: int) -> Any:
    """Return a value as Python has it, or what PostgreSQL calls what Python has not."""
    import numpy as np
    import pyarrow as pa

    storage = values.storage if isinstance(values, pa.ExtensionArray) else values
    try:
        return storage[row].as_py()
    except (OverflowError, ValueError):
        if pa.types.is_nested(storage.type):
            return "an array with a time out of range"
        days = pa.types.is_date32(storage.type)
        least = np.iinfo(np.int32 if days else np.int64).min + _FROM_2000 * (1 if days else _PER_DAY[storage.type.unit])
        number = storage.view(pa.int32() if days else pa.int64())[row].as_py()
        return {least - 1: "infinity", least: "-infinity"}.get(number, "a time out of range")
