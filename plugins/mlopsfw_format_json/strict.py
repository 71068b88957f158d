"""JSON lines as record batches; what cannot be read is an error with its line."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.errors import DataError
from mlopsfw.formats import TOO_DEEP, WrongSchema, in_order, is_too_deep, open_bytes, without_rows
from mlopsfw_format_json import whole as jsonwhole
from mlopsfw_format_json.flaws import flaw_of, kinds_of

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 4 << 20  # bytes, and those of the longest line


def read_jsonl(
    path: Path, max_ratio: float, known: pa.Schema | None, as_text: Collection[str] = (), keys: Collection[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file with one JSON object per line.

    Args:
        path: The file.
        max_ratio: An archive may unpack to so many times its size.
        known: Its columns, learnt from an earlier `WrongSchema`.
        as_text: Fields whose texts stay texts although they look like times.
        keys: Fields that identify rows: their numbers keep all digits, or are errors.

    Raises:
        WrongSchema: A field shows up, or turns from null to something, further on; read it again with the error's schema.
        DataError: The archive unpacks to more, a line is not a JSON object, or a field has values of two types; with the line.
    """
    import pyarrow as pa

    try:
        try:
            yield from _batches(path, max_ratio, known, as_text, keys)
        except pa.ArrowInvalid as error:
            if known is None:
                raise WrongSchema(f"{path}: {error}", path, columns_of(_texts(path, max_ratio), as_text)) from None
            raise
    except pa.ArrowInvalid as error:
        raise _explain(path, max_ratio, str(error), keys) from None


def _batches(
    path: Path, max_ratio: float, known: pa.Schema | None, as_text: Collection[str], keys: Collection[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows, in the columns of the first block where they are not known."""
    texts = _texts(path, max_ratio)
    first = next(texts)
    schema = known or fields(first, as_text)
    yield columns_alone(schema)
    for table in in_order(lambda block: parsed(block, schema, keys), itertools.chain((first,), texts)):
        yield from table.to_batches()


def columns_alone(schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch without rows that has the columns as `parsed` gives them."""
    return without_rows(jsonwhole.as_texts(schema.empty_table()).schema)


def columns_of(texts: Iterable[bytes], as_text: Collection[str] = ()) -> pa.Schema:
    """Return the columns that blocks of lines, at least one, have together; see `fields`. Raise `ArrowInvalid`."""
    import pyarrow as pa

    kinds = in_order(lambda block: pa.struct(fields(block, as_text)), texts)
    return pa.schema(functools.reduce(_joined, kinds))


def _texts(path: Path, max_ratio: float) -> Iterator[bytes]:
    """Yield the blocks that hold anything. Raise `ArrowInvalid` where none does."""
    import pyarrow as pa

    some = False
    for block in blocks(path, max_ratio):
        if block and not block.isspace():
            some = True
            yield block
    if not some:
        raise pa.ArrowInvalid("Empty JSON stream")


def blocks(path: Path, max_ratio: float) -> Iterator[bytes]:
    """Yield the text by blocks of whole lines, cut here: no thread of Arrow's is to be within a file of Python's when that closes.

    Raises:
        DataError: A line is longer than 4 MiB.
    """
    rest: list[bytes] = []
    waiting = lines = 0
    with open_bytes(path, max_ratio) as raw:
        while data := raw.read(_BLOCK):
            end = data.rfind(b"\n") + 1
            if end:
                yield b"".join((*rest, memoryview(data)[:end]))
                lines += data.count(b"\n")
                rest, waiting = [data[end:]], len(data) - end
            else:
                rest.append(data)
                waiting += len(data)
            if waiting > _BLOCK:
                while b"\n" not in data and (data := raw.read(_BLOCK)):
                    pass  # a bomb is told as one
                raise DataError(f"{path}:{lines + 1}: the line is longer than {_BLOCK:,} bytes")
    yield b"".join(rest)


def _joined(left: pa.DataType, right: pa.DataType) -> Any:
    """Return the type that values of both have together. Raise `ArrowInvalid` where there is none."""
    import pyarrow as pa
    import pyarrow.types as t

    if left == right or t.is_null(right):
        return left
    if t.is_struct(left) and t.is_struct(right):
        names = dict.fromkeys([field.name for field in (*left, *right)])
        return pa.struct([(name, _joined(_of(left, name), _of(right, name))) for name in names])
    if t.is_list(left) and t.is_list(right):
        return pa.list_(_joined(left.value_type, right.value_type))
    pair = {left, right}
    if pa.int64() in pair and (wider := next((k for k in pair if t.is_float64(k) or t.is_decimal(k)), None)):
        return wider
    if any(t.is_string(kind) for kind in pair) and any(t.is_timestamp(kind) for kind in pair):
        return pa.string()  # texts, of which some look like times
    if t.is_null(left):
        return right
    raise pa.ArrowInvalid(f"a field is {left} and {right}")


def _of(struct: Any, name: str) -> pa.DataType:
    import pyarrow as pa

    index = struct.get_field_index(name)
    return struct[index].type if index >= 0 else pa.null()


def fields(block: bytes, as_text: Collection[str] = ()) -> pa.Schema:
    """Return the columns that a block of lines has: a decimal for whole numbers of more digits than others keep. Raise `ArrowInvalid`.

    Args:
        block: The lines.
        as_text: Columns whose texts stay texts although they look like times.
    """
    import pyarrow as pa

    schema = jsonwhole.with_decimals(_read(block, None), block)
    times = [field.name for field in schema if pa.types.is_timestamp(field.type) and field.name in as_text]
    for name in times:
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.string()))
    return schema


def parsed(block: bytes, schema: pa.Schema, keys: Collection[str] = ()) -> pa.Table:
    """Return the rows of a block of lines, in the columns of `schema`, decimals as texts.

    Raises:
        ArrowInvalid: It has a field that is not in `schema` or not of its type, text that is not UTF-8, lines that are not one
            object each, or whole numbers or `keys` of more digits than their column keeps.
    """
    table = _read(block, schema)
    jsonwhole.check_kept(table, block)
    jsonwhole.check_keys(table, block, keys)
    return jsonwhole.as_texts(table)


def _read(block: bytes, schema: pa.Schema | None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.json as pj

    try:
        block.decode()  # the reader lets through other bytes, in names too
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"not UTF-8: {error}") from None
    if is_too_deep(block):  # the reader would end the process
        raise pa.ArrowInvalid(TOO_DEEP)
    unexpected = "infer" if schema is None else "error"
    parsing = pj.ParseOptions(explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior=unexpected)
    table = pj.read_json(pa.py_buffer(block), pj.ReadOptions(block_size=len(block) + 1), parsing)
    table.validate(full=True)  # the reader lets through texts such as "\\ud800"
    ends = block.count(b"}\n") + block.count(b"}\r\n") + block.endswith(b"}")
    if table.num_rows != ends and table.num_rows != sum(bool(line.strip()) for line in block.split(b"\n")):
        raise pa.ArrowInvalid("a line is not one object")
    return table


def _explain(path: Path, max_ratio: float, message: str, keys: Collection[str]) -> DataError:
    """Return the error with the first line that is to blame."""
    kinds: dict[str, tuple[str, int]] = {}
    with open_bytes(path, max_ratio) as raw:
        for line, data in enumerate(raw, 1):
            if not data.strip():
                continue
            if flaw := flaw_of(data):
                return DataError(
                    f"{path}:{line}: {flaw}",
                    hint="Write one object per line, each field once and at most 100 levels deep.",
                )
            row = msgspec.json.decode(data)
            if found := _clash(row, kinds, line):
                return DataError(f"{path}:{line}: {found}", hint="Give each field one type.")
    return _explain_long(path, max_ratio, keys) or DataError(f"{path}: {message}")


def _explain_long(path: Path, max_ratio: float, keys: Collection[str]) -> DataError | None:
    """Return the error of the first line with too long a whole number or key, if there is one."""
    with open_bytes(path, max_ratio) as raw:
        for line, data in enumerate(raw, 1):
            if reason := jsonwhole.describe_long_key(data, keys):
                return DataError(f"{path}:{line}: {reason}", hint=jsonwhole.HINT)
            for field, number in jsonwhole.numbers_of(data):
                if isinstance(number, int) and jsonwhole.is_long(number):
                    return DataError(
                        f"{path}:{line}: {jsonwhole.describe_long_number(field, number)}", hint=jsonwhole.HINT
                    )
    return None


def _clash(row: dict[str, Any], kinds: dict[str, tuple[str, int]], line: int) -> str:
    for name, kind in kinds_of(row):
        was, where = kinds.setdefault(name, (kind, line))
        if was != kind:
            return f"field {name.removeprefix('/')!r} is a {kind} here, and a {was} on line {where}"
    return ""
