"""JSON lines as record batches; what cannot be read is an error with its line."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.datasets.ahead import in_order
from mlopsfw.datasets.opened import open_bytes
from mlopsfw.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 4 << 20  # bytes, and those of the longest line


def read_jsonl(path: Path, max_ratio: float) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file with one JSON object per line; an archive may unpack to `max_ratio` times its size.

    The file is read twice: a field may first show up, or turn from null to something, on its last line.

    Raises:
        DataError: The archive unpacks to more, a line is not a JSON object, or a field has values of two types; with the line.
    """
    import pyarrow as pa

    try:
        kinds = in_order(_inferred, _blocks(path, max_ratio))
        schema = pa.schema(functools.reduce(_joined, kinds))
        for table in in_order(lambda block: _parsed(block, schema, "error"), _blocks(path, max_ratio)):
            table.validate(full=True)  # the reader lets through text that is not UTF-8
            yield from table.to_batches()
    except pa.ArrowInvalid as error:
        raise _explain(path, max_ratio, str(error)) from None


def _blocks(path: Path, max_ratio: float) -> Iterator[bytes]:
    """Yield the text by blocks of whole lines, cut here: no thread of Arrow's is to be within a file of Python's when that closes."""
    import pyarrow as pa

    rest, some = b"", False
    with open_bytes(path, max_ratio) as raw:
        while data := raw.read(_BLOCK):
            head, end, tail = data.rpartition(b"\n")
            if not end and len(rest) + len(tail) > _BLOCK:
                raise pa.ArrowInvalid(f"a line is longer than {_BLOCK:,} bytes")
            block, rest = (rest + head + end, tail) if end else (b"", rest + tail)
            if not block.isspace() and block:
                some = True
                yield block
    if rest.strip():
        yield rest
    elif not some:
        raise pa.ArrowInvalid("Empty JSON stream")


def _inferred(block: bytes) -> Any:
    """Return the columns of a block, as a struct."""
    import pyarrow as pa

    return pa.struct(_parsed(block, None, "infer").schema)


def _joined(one: pa.DataType, other: pa.DataType) -> Any:
    """Return the type that values of both have together. Raise `ArrowInvalid` where there is none."""
    import pyarrow as pa
    import pyarrow.types as t

    if one == other or t.is_null(other):
        return one
    if t.is_struct(one) and t.is_struct(other):
        names = dict.fromkeys([field.name for field in (*one, *other)])
        return pa.struct([(name, _joined(_of(one, name), _of(other, name))) for name in names])
    if t.is_list(one) and t.is_list(other):
        return pa.list_(_joined(one.value_type, other.value_type))
    pair = {one, other}
    if pair == {pa.int64(), pa.float64()}:
        return pa.float64()
    if any(t.is_string(kind) for kind in pair) and any(t.is_timestamp(kind) for kind in pair):
        return pa.string()  # texts, of which some look like times
    if t.is_null(one):
        return other
    raise pa.ArrowInvalid(f"a field is {one} and {other}")


def _of(struct: Any, name: str) -> pa.DataType:
    import pyarrow as pa

    index = struct.get_field_index(name)
    return struct[index].type if index >= 0 else pa.null()


def _parsed(block: bytes, schema: pa.Schema | None, unexpected: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.json as pj

    parsing = pj.ParseOptions(explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior=unexpected)
    return pj.read_json(pa.py_buffer(block), pj.ReadOptions(block_size=len(block) + 1), parsing)


def _explain(path: Path, max_ratio: float, message: str) -> DataError:
    """Return the error with the first line that is to blame."""
    kinds: dict[str, tuple[str, int]] = {}
    with open_bytes(path, max_ratio) as raw:
        for line, data in enumerate(raw, 1):
            if not data.strip():
                continue
            try:
                row = msgspec.json.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                return DataError(f"{path}:{line}: not a line of JSON: {error}")
            if not isinstance(row, dict):
                return DataError(f"{path}:{line}: a {type(row).__name__}, not an object", hint="One object per line.")
            if found := _clash(row, kinds, line):
                return DataError(f"{path}:{line}: {found}", hint="Give each field one type.")
    return DataError(f"{path}: {message}")


def _clash(row: dict[str, Any], kinds: dict[str, tuple[str, int]], line: int) -> str:
    for name, value in row.items():
        kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
        if value is None:
            continue
        was, where = kinds.setdefault(name, (kind, line))
        if was != kind:
            return f"field {name!r} is a {kind} here, and a {was} on line {where}"
    return ""
