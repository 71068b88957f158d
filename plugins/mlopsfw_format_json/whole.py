"""Whole numbers in JSON lines that have more digits than int64 or float64 keep: their fields are read as decimals and become texts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.formats import exact

if TYPE_CHECKING:
    import pyarrow as pa

_INT64 = 1 << 63
_WRITTEN = 17  # digits at most that a float64 needs
_SHOWN = 40  # digits of a number in a message
HINT = "Write such numbers as text, in quotes."


class Field(msgspec.Struct):
    """What the numbers of a field are like.

    Args:
        long: The first whole number that a float64 would not keep.
        beyond: Whether one does not fit int64.
        fractions: Whether there are others than whole numbers.
    """

    long: int | None = None
    beyond: bool = False
    fractions: bool = False


def with_decimals(table: pa.Table, block: bytes) -> pa.Schema:
    """Return the schema of a block whose fields were guessed, with decimals for floats that would lose digits. Raise `ArrowInvalid` where there are fractions among them."""
    import pyarrow as pa

    if not _has_long(table):
        return table.schema
    fields = fields_of(block)

    def decided(kind: pa.DataType, path: str) -> pa.DataType:
        field = fields.get(path, Field())
        if not pa.types.is_floating(kind) or not (field.long is not None or (field.beyond and not field.fractions)):
            return kind
        if field.fractions:
            raise pa.ArrowInvalid(describe_long_number(path, field.long))
        return pa.decimal128(38, 0)

    return pa.schema([(f.name, _mapped(f.type, decided, f"/{f.name}")) for f in table.schema])


def check_kept(table: pa.Table, block: bytes) -> None:
    """Raise `ArrowInvalid` where a float of a block is not the whole number that stood there."""
    import pyarrow as pa

    if _has_long(table):
        floats = {path for f in table.schema for path in _floats(f.type, f"/{f.name}")}
        for path, field in fields_of(block).items():
            if path in floats and field.long is not None:
                raise pa.ArrowInvalid(describe_long_number(path, field.long))


def check_keys(table: pa.Table, block: bytes, keys: Collection[str]) -> None:
    """Raise `ArrowInvalid` where a key is a fraction with more digits than a float64 keeps: two keys would become one."""
    import pyarrow as pa

    names = [
        name for name in keys if name in table.column_names and pa.types.is_floating(table.schema.field(name).type)
    ]
    for line in block.split(b"\n") if names else ():
        if reason := describe_long_key(line, names):
            raise pa.ArrowInvalid(reason)


def describe_long_key(line: bytes, names: Collection[str]) -> str:
    """Return what is wrong with the keys of a line; empty if a float64 keeps each of them."""
    try:
        row = json.loads(line, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):  # Arrow's reader says what is wrong with it
        return ""
    for name in names if isinstance(row, dict) else ():
        key = row.get(name)
        if isinstance(key, Decimal) and _is_shortened(key):
            return (
                f"field {name!r} is a key and holds {str(key)[:_SHOWN]}, which has more digits than a number can keep"
            )
    return ""


def _is_shortened(key: Decimal) -> bool:
    """Return whether a float64 is another number. Up to 17 digits, a float64 may have been written so."""
    whole = key == key.to_integral_value()
    return (whole or len(key.as_tuple().digits) > _WRITTEN) and Decimal(repr(float(key))) != key


def as_texts(table: pa.Table) -> pa.Table:
    """Return a table with texts where `with_decimals` put decimals."""
    import pyarrow as pa

    def text(kind: pa.DataType, _path: str) -> pa.DataType:
        return pa.string() if pa.types.is_decimal(kind) else kind

    wanted = pa.schema([(f.name, _mapped(f.type, text, "")) for f in table.schema])
    return table if wanted.equals(table.schema) else table.cast(wanted)


def describe_long_number(path: str, number: int | None) -> str:
    """Return what is wrong with a field that has too long a number."""
    return f"field {path[1:]!r} holds {str(number)[:_SHOWN]}, a whole number with more digits than a column of fractions can keep"


def fields_of(block: bytes) -> dict[str, Field]:
    """Return what the numbers of each field are like, by its path: `/o/a` in an object, `/l[]` in a list."""
    fields: dict[str, Field] = {}
    for line in block.split(b"\n"):
        for path, number in numbers_of(line):
            field = fields.setdefault(path, Field())
            if isinstance(number, float):
                field.fractions = True
            else:
                field.beyond |= not -_INT64 <= number < _INT64
                field.long = number if field.long is None and is_long(number) else field.long
    return fields


def numbers_of(line: bytes) -> Iterator[tuple[str, int | float]]:
    """Yield the numbers of a line, each with its path; whole ones with all their digits."""
    try:
        yield from _numbers(json.loads(line), "")
    except (ValueError, RecursionError):  # Arrow's reader says what is wrong with it
        return


def is_long(number: int) -> bool:
    """Whether a whole number is another one as a float64."""
    try:
        return Decimal(repr(float(number))) != number
    except OverflowError:
        return True


def _numbers(value: Any, path: str) -> Iterator[tuple[str, int | float]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _numbers(item, f"{path}/{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item, f"{path}[]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def _has_long(table: pa.Table) -> bool:
    return any(_is_long(chunk) for column in table.columns for chunk in column.chunks)


def _is_long(values: pa.Array) -> bool:
    import pyarrow.types as t

    if t.is_struct(values.type) or t.is_list(values.type):
        parts = values.flatten()
        return any(map(_is_long, parts if t.is_struct(values.type) else [parts]))
    return exact.is_long(values)


def _mapped(kind: pa.DataType, change: Any, path: str) -> pa.DataType:
    """Return a type with each of its leaves changed."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return pa.struct([(f.name, _mapped(f.type, change, f"{path}/{f.name}")) for f in kind])
    if pa.types.is_list(kind):
        return pa.list_(_mapped(kind.value_type, change, f"{path}[]"))
    return change(kind, path)


def _floats(kind: pa.DataType, path: str) -> list[str]:
    import pyarrow as pa

    found: list[str] = []

    def noted(leaf: pa.DataType, where: str) -> pa.DataType:
        found.extend([where] if pa.types.is_floating(leaf) else [])
        return leaf

    _mapped(kind, noted, path)
    return found
