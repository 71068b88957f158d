"""JSON lines as record batches; what cannot be read is an error with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.datasets.opened import open_bytes
from mlopsfw.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 16 << 20  # bytes; the columns are learnt from the first block


def read_jsonl(path: Path, max_ratio: float) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file with one JSON object per line; an archive may unpack to `max_ratio` times its size.

    A field that first shows up, or turns from null to something, after the first block is found by reading the file whole.

    Raises:
        DataError: The archive unpacks to more, a line is not a JSON object, or a field has values of two types; with the line.
    """
    import pyarrow as pa

    schema = _schema(path, max_ratio)
    try:
        with open_bytes(path, max_ratio) as raw:
            for batch in _open(raw, schema):
                batch.validate(full=True)  # the reader lets through text that is not UTF-8
                yield batch
    except pa.ArrowInvalid as error:
        raise _explain(path, max_ratio, str(error)) from None


def _schema(path: Path, max_ratio: float) -> pa.Schema | None:
    """Return the columns of the whole file if the first block does not tell them all, else None."""
    import pyarrow as pa
    import pyarrow.json as pj

    try:
        with open_bytes(path, max_ratio) as raw:
            reader = _open(raw, None)
            first = reader.schema
            if not any(pa.types.is_null(field.type) for field in first) and _reads(reader):
                return None
        with open_bytes(path, max_ratio) as raw:
            schema: pa.Schema = pj.read_json(raw, pj.ReadOptions(block_size=_BLOCK)).schema
    except pa.ArrowInvalid as error:
        raise _explain(path, max_ratio, str(error)) from None
    return schema


def _reads(reader: Any) -> bool:
    import pyarrow as pa

    try:
        for _ in reader:
            pass
    except pa.ArrowInvalid:
        return False
    return True


def _open(raw: Any, schema: pa.Schema | None) -> Any:
    import pyarrow.json as pj

    parsing = pj.ParseOptions(explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior="infer")
    if schema is not None:
        parsing.unexpected_field_behavior = "error"
    return pj.open_json(raw, pj.ReadOptions(block_size=_BLOCK), parsing)


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
