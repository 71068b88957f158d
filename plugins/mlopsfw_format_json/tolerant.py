"""JSON lines whose bad ones are set aside: no JSON, no object, or a field of another type than it has in most lines."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.errors import DataError
from mlopsfw.formats import in_order
from mlopsfw_format_json.flaws import flaw_of, kinds_of
from mlopsfw_format_json.strict import blocks, columns_alone, columns_of, fields, parsed
from mlopsfw_format_json.whole import as_texts

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import RejectSink

_FIRST = 16 << 20  # bytes from which the columns are learnt

Line = tuple[int, bytes]
"""Its number in the file, and its text."""

Parse = Callable[[bytes], "pa.Table"]


def read_jsonl(
    path: Path, max_ratio: float, rejects: RejectSink, as_text: Collection[str] = (), keys: Collection[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the good lines of a file as rows and set the others aside. Fields are those of the first 16 MB, `as_text` among them as for `fields`.

    The numbers of `keys` keep all digits, or their lines are set aside.
    """
    import pyarrow as pa

    cut = blocks(path, max_ratio)
    first = list(_first(cut))
    schema = _learnt(path, first, as_text)
    yield columns_alone(schema)

    def read(block: bytes) -> tuple[bytes, pa.Table | None]:
        try:
            return block, parsed(block, schema, keys) if block.strip() else as_texts(schema.empty_table())
        except pa.ArrowInvalid:
            return block, None

    passed = 0
    for block, table in in_order(read, itertools.chain(first, cut)):
        if table is not None:
            yield from table.to_batches()
        else:
            yield from _sifted(path, block, passed, rejects, lambda lines: parsed(lines, schema, keys))
        passed += block.count(b"\n")


def _first(cut: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    while size < _FIRST and (block := next(cut, None)) is not None:
        size += len(block)
        yield block


def _learnt(path: Path, texts: Sequence[bytes], as_text: Collection[str]) -> pa.Schema:
    """Return the columns of all lines, or of those whose fields have the kinds that most lines give them. Raise `DataError` where there is none."""
    import pyarrow as pa

    if lines := [text for text in texts if text.strip()]:
        with contextlib.suppress(pa.ArrowInvalid):
            return columns_of(lines, as_text)
    good = [line for text in texts for line in text.split(b"\n") if line.strip() and not flaw_of(line)]
    objects = [(line, msgspec.json.decode(line)) for line in good]
    if not objects:
        raise DataError(f"{path}: no line is a JSON object", hint="Write one object per line.")
    counts: dict[str, Counter[str]] = {}
    for _, row in objects:
        for field, kind in kinds_of(row):
            counts.setdefault(field, Counter())[kind] += 1
    usual = {field: kinds.most_common(1)[0][0] for field, kinds in counts.items()}
    like = [line for line, row in objects if all(usual[field] == kind for field, kind in kinds_of(row))]
    try:
        return fields(b"\n".join(like), as_text)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path}: its lines have no columns in common: {error}", hint="Give each field one type."
        ) from None


def _sifted(path: Path, block: bytes, passed: int, rejects: RejectSink, parse: Parse) -> Iterator[pa.RecordBatch]:
    """Yield the good lines of a block, which `passed` lines come before, and set the others aside."""
    objects: list[Line] = []
    for number, line in enumerate(block.split(b"\n"), passed + 1):
        if not line.strip():
            continue
        if reason := flaw_of(line):
            _set_aside(path, (number, line), reason, rejects)
        else:
            objects.append((number, line))
    yield from _fitting(path, objects, rejects, parse)


def _set_aside(path: Path, line: Line, reason: str, rejects: RejectSink) -> None:
    rejects.add(path.name, line[0], reason, line[1].decode(errors="backslashreplace").rstrip("\r"))


def _fitting(path: Path, lines: Sequence[Line], rejects: RejectSink, parse: Parse) -> Iterator[pa.RecordBatch]:
    """Yield `lines` as the rows that `parse` makes of them, halved until each one that does not fit is found."""
    import pyarrow as pa

    if not lines:
        return
    try:
        table = parse(b"\n".join(line for _, line in lines))
    except pa.ArrowInvalid as error:
        if len(lines) == 1:
            _set_aside(path, lines[0], str(error).removeprefix("JSON parse error: "), rejects)
            return
        half = len(lines) // 2
        yield from _fitting(path, lines[:half], rejects, parse)
        yield from _fitting(path, lines[half:], rejects, parse)
        return
    yield from table.to_batches()
