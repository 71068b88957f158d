"""JSON lines whose bad ones are set aside: no JSON, no object, or a field of another type than it has in most lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.datasets.opened import open_bytes
from mlopsfw.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.datasets.quarantine import Quarantine

_BLOCK = 16 << 20  # bytes; the columns are learnt from the first block

Line = tuple[int, bytes]


def read_jsonl(path: Path, max_ratio: float, quarantine: Quarantine) -> Iterator[pa.RecordBatch]:
    """Yield the good lines of a file as rows and set the others aside. Fields are those of the first 16 MB."""
    schema: pa.Schema | None = None
    for block in _blocks(path, max_ratio):
        objects = [(line, row) for line in block if (row := _object(path, line, quarantine)) is not None]
        if schema is None and objects:
            schema = _learnt(objects)
        yield from _read(path, [line for line, _ in objects], schema, quarantine)
    if schema is None:
        raise DataError(f"{path}: no line is a JSON object", hint="Give one object per line.")


def _blocks(path: Path, max_ratio: float) -> Iterator[list[Line]]:
    with open_bytes(path, max_ratio) as raw:
        lines = ((number, line) for number, line in enumerate(raw, 1) if line.strip())
        block: list[Line] = []
        size = 0
        for line in lines:
            block.append(line)
            size += len(line[1])
            if size >= _BLOCK:
                yield block
                block, size = [], 0
        if block:
            yield block


def _object(path: Path, line: Line, quarantine: Quarantine) -> dict[str, Any] | None:
    try:
        row = msgspec.json.decode(line[1])
        reason = "" if isinstance(row, dict) else f"a {type(row).__name__}, not an object"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        row, reason = None, f"not a line of JSON: {error}"
    if reason:
        _set_aside(path, line, reason, quarantine)
        return None
    return row  # type: ignore[no-any-return]


def _set_aside(path: Path, line: Line, reason: str, quarantine: Quarantine) -> None:
    quarantine.add(path.name, line[0], reason, line[1].decode(errors="backslashreplace").rstrip("\r\n"))


def _learnt(objects: Sequence[tuple[Line, dict[str, Any]]]) -> pa.Schema:
    """Return the columns of those lines whose fields have the kinds that most lines give them."""
    import pyarrow.json as pj
    from pyarrow import py_buffer

    counts: dict[str, Counter[str]] = {}
    for _, row in objects:
        for name, kind in _kinds(row):
            counts.setdefault(name, Counter())[kind] += 1
    usual = {name: kinds.most_common(1)[0][0] for name, kinds in counts.items()}
    like = [line for (_, line), row in objects if all(usual[name] == kind for name, kind in _kinds(row))]
    schema: pa.Schema = pj.read_json(py_buffer(_text(like)), pj.ReadOptions(block_size=2 * _BLOCK)).schema
    return schema


def _text(lines: Sequence[bytes]) -> bytes:
    return b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines)


def _kinds(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        if value is not None:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            yield name, "number" if number else type(value).__name__


def _read(path: Path, lines: list[Line], schema: pa.Schema | None, quarantine: Quarantine) -> Iterator[pa.RecordBatch]:
    """Yield `lines` as rows of `schema`, halved until each one that does not fit is found."""
    import pyarrow as pa
    import pyarrow.json as pj

    if not lines:
        return
    text = _text([data for _, data in lines])
    parsing = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    try:
        table = pj.read_json(pa.py_buffer(text), pj.ReadOptions(block_size=len(text) + 1), parsing)
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        if len(lines) == 1:
            _set_aside(path, lines[0], str(error).removeprefix("JSON parse error: "), quarantine)
            return
        half = len(lines) // 2
        yield from _read(path, lines[:half], schema, quarantine)
        yield from _read(path, lines[half:], schema, quarantine)
        return
    yield from table.to_batches()
