"""The stored types of Arrow's types, and conversion of batches to them without losing a value. Delta has fewer types than Arrow.

Unsigned integers become the next wider signed type, times microseconds (in UTC if they have a zone), all texts one type, dictionaries their
values, maps lists of entries, and a column of nulls text.

"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from mlopsfw.data.tables import exact
from mlopsfw.data.tables.declared import is_micro, text_hint, truncation_hint
from mlopsfw.data.tables.logical import decoded, logical_type
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Drift = Literal["fail", "add", "ignore"]
"""The policy for columns that only the table or only the rows have: see `agreed`."""


class CastError(DataError):
    """A value does not fit the type of its column.

    Args:
        message: The problem.
        column: The column.
        kind: Its stored type.
        hint: What to do.
    """

    def __init__(self, message: str, column: str, kind: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or _HOW_TO_FIT)
        self.column, self.kind = column, kind


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the stored schema for rows of `schema`.

    Raises:
        DataError: There is no column, two have the same name, or a table cannot hold a type; names the column.
    """
    import pyarrow as pa

    if not schema.names:
        raise DataError("there are no columns")
    names: set[str] = set()
    for name in schema.names:
        if not name or name.casefold() in names:
            raise DataError(
                f"two columns are called {name!r}" if name else "a column has no name",
                hint="Give each column a unique name. Names that differ only in case count as equal.",
            )
        names.add(name.casefold())
    return pa.schema([pa.field(field.name, stored_type(field.type, field.name)) for field in schema])


def stored_type(kind: pa.DataType, column: str) -> pa.DataType:
    """Return the stored type of `kind`. Raise `DataError` naming `column` if it has none."""
    import pyarrow as pa
    import pyarrow.types as t

    if isinstance(kind, pa.BaseExtensionType):
        return stored_type(kind.storage_type, column)
    if t.is_dictionary(kind) or t.is_run_end_encoded(kind):
        return stored_type(kind.value_type, column)
    if t.is_nested(kind):
        return _nested(kind, column)
    scalar = _scalar(kind)
    if scalar is None:
        raise DataError(
            f"column {column!r}: type {kind} cannot be stored in a table",
            hint=text_hint(column, is_length=t.is_duration(kind)),
        )
    return scalar


def _nested(kind: pa.DataType, column: str) -> pa.DataType:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_struct(kind) and not kind.num_fields:
        raise DataError(
            f"column {column!r}: objects without fields cannot be stored in a table", hint=text_hint(column)
        )
    if t.is_struct(kind):
        return pa.struct([pa.field(f.name, stored_type(f.type, f"{column}.{f.name}")) for f in kind])
    if t.is_map(kind):
        entry = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        return pa.large_list(stored_type(entry, column))
    if t.is_union(kind):
        raise DataError(f"column {column!r}: a union cannot be stored in a table", hint="Split it into columns.")
    return pa.large_list(stored_type(kind.value_type, column))


def _scalar(kind: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind) or t.is_null(kind):
        return pa.large_string()
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind) or t.is_fixed_size_binary(kind):
        return pa.large_binary()
    if t.is_decimal(kind):
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= 38 else None  # noqa: PLR2004 - Delta's limit
    if t.is_date(kind):
        return pa.date32()
    return _number(kind)


def _number(kind: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_signed_integer(kind) or t.is_boolean(kind) or t.is_float32(kind) or t.is_float64(kind):
        return kind
    wider = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.int64()}
    return wider.get(kind) or (pa.float32() if t.is_float16(kind) else None)


def fit(batch: pa.RecordBatch, schema: pa.Schema, what: str) -> pa.RecordBatch:
    """Return `batch` with the columns of `schema`, in its order and types, with every value unchanged.

    Args:
        batch: The rows.
        schema: A stored schema.
        what: The owner of the schema, for errors.

    Raises:
        DataError: A column is missing or extra, or a value does not fit; names the column.
    """
    import pyarrow as pa

    missing, extra = _apart(schema, batch.schema)
    if missing or extra:
        raise DataError(_mismatch(what, missing, extra), hint=_HOW_TO_AGREE)
    columns = [_cast(batch.column(field.name), field, what) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def complete(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return `batch` with exactly the columns of `schema`: nulls for missing ones, and without the others."""
    import pyarrow as pa

    have = set(batch.schema.names)
    arrays = [batch.column(f.name) if f.name in have else pa.nulls(batch.num_rows, f.type) for f in schema]
    return pa.RecordBatch.from_arrays(arrays, names=schema.names)


def agreed(current: pa.Schema, coming: pa.Schema, drift: Drift, what: str) -> pa.Schema:
    """Return the stored schema of a dataset of schema `current` after rows of schema `coming` are added.

    With `add`, the type of a column widens if every value stays the same: whole numbers to wider ones or (up to 16 bits) to
    float32, (up to 32 bits) to float64; float32 to float64. Otherwise types stay, and values must fit.

    Raises:
        DataError: `drift` is `fail`, and columns are missing or extra; names them with their types.
    """
    import pyarrow as pa

    missing, extra = _apart(current, coming)
    if drift == "fail" and (missing or extra):
        raise DataError(_mismatch(what, missing, extra), hint=_HOW_TO_AGREE)
    if drift != "add":
        return current
    kinds = {field.name: stored_type(field.type, field.name) for field in coming}
    wide = [pa.field(f.name, _wider(f.type, kinds.get(f.name, f.type))) for f in current]
    return stored_schema(pa.schema([*wide, *extra]))


def _apart(left: pa.Schema, right: pa.Schema) -> tuple[list[pa.Field], list[pa.Field]]:
    """Return the fields that only `left` has, and those that only `right` has."""
    names, others = set(left.names), set(right.names)
    return [field for field in left if field.name not in others], [field for field in right if field.name not in names]


def _wider(current: pa.DataType, coming: pa.DataType) -> pa.DataType:
    import pyarrow.types as t

    whole = t.is_signed_integer(current)
    if (whole and t.is_signed_integer(coming)) or (t.is_float32(current) and t.is_float64(coming)):
        return coming if coming.bit_width > current.bit_width else current
    exact = (t.is_float64(coming) and current.bit_width <= 32) or (t.is_float32(coming) and current.bit_width <= 16)  # noqa: PLR2004 - bits
    return coming if whole and exact else current


_HOW_TO_FIT = "Correct the row, put such rows in quarantine (--max-bad 0.01), or replace the dataset with a type that holds the value."
_HOW_TO_AGREE = "Make the columns agree, choose --drift add or --drift ignore, or replace the whole dataset."


def _mismatch(what: str, missing: Sequence[pa.Field], extra: Sequence[pa.Field]) -> str:
    parts = [
        f"{label} {', '.join(f'{field.name!r} ({logical_type(field.type)})' for field in fields)}"
        for label, fields in (("lack", missing), ("add", extra))
        if fields
    ]
    return f"the rows do not fit {what}: they {' and '.join(parts)}"


def _cast(values: pa.Array, field: pa.Field, what: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as t

    if values.type == field.type:
        return values
    try:
        if t.is_list_view(values.type) or t.is_large_list_view(values.type) or t.is_map(values.type):
            return pa.array(_entries(values), field.type)  # Arrow casts views with nulls wrongly
        plain = decoded(values)
        converted = plain.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        message = f"column {field.name!r} is {values.type} and does not fit {what} as {field.type}: {error}"
        is_finer = t.is_timestamp(values.type) and values.type.unit == "ns" and is_micro(field.type)
        hint = truncation_hint(field.name, str(field.type)) if is_finer else ""
        raise CastError(message, field.name, str(field.type), hint) from None
    is_text = t.is_string(plain.type) or t.is_large_string(plain.type)
    if is_text and exact.is_number(field.type) and (losses := exact.losses(plain, converted)):
        reason = next(iter(losses.values()))
        message = f"column {field.name!r} does not fit {what} as {field.type}: {reason}"
        raise CastError(message, field.name, str(field.type))
    return converted


def plain_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows as Python values. Dates and times outside Python's years become text, such as `10000-01-01T04:59:59Z`."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError):
        columns = {
            name: [_plain(value) for value in values]
            for name, values in zip(batch.schema.names, batch.columns, strict=True)
        }
        return [{name: values[row] for name, values in columns.items()} for row in range(batch.num_rows)]


def _plain(value: pa.Scalar) -> Any:
    import numpy as np
    import pyarrow.types as t

    try:
        return value.as_py()
    except (ValueError, OverflowError):
        if t.is_date32(value.type):
            return str(np.datetime64(value.value, "D"))
        if t.is_timestamp(value.type):
            return f"{np.datetime64(value.value, value.type.unit)}{'Z' * (value.type.tz is not None)}"
        return None  # a list or a struct that holds one


def _entries(values: pa.Array) -> list[object]:
    import pyarrow.types as t

    rows: list[object] = values.to_pylist()
    if not t.is_map(values.type):
        return rows
    return [None if row is None else [{"key": key, "value": value} for key, value in row] for row in values.to_pylist()]


def describe(schema: pa.Schema) -> dict[str, str]:
    """Return column → type's name, for events, listings and comparison."""
    return {field.name: logical_type(field.type) for field in schema}
