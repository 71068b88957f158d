"""Whether texts stand in a file: as bytes, and inside what is packed (gzip, zip, Parquet, Arrow IPC).

Made for `forget`, which drops what it cannot rewrite, and for people who want to check that a value is gone.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_DEEPEST = 4  # archives within archives
_LETTER = rb"[0-9A-Za-z_]"
_PIECE = 1 << 24  # bytes of a file that are searched at a time
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError, RuntimeError)
"""What is raised for a file that is damaged, has a password, or only looks like an archive."""
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


class Wanted(NamedTuple):
    """Texts that are looked for.

    Args:
        text: Finds any of them.
        longest: How many bytes the longest has.
        numbers: Those that are numbers: of a column of numbers only rows that have one are looked at as text.
    """

    text: re.Pattern[bytes]
    longest: int
    numbers: tuple[float, ...]


def pattern(words: Sequence[str]) -> Wanted | None:
    """Return what finds any of the texts where it stands for itself, not within a longer word; None for no texts."""
    if not words:
        return None
    found = b"|".join(re.escape(word.encode()) for word in words)
    text = re.compile(rb"(?<!%s)(?:%s)(?!%s)" % (_LETTER, found, _LETTER))
    numbers = tuple(float(word) for word in words if _NUMBER.fullmatch(word))
    return Wanted(text, max(len(word.encode()) for word in words), numbers)


def holds(data: bytes, wanted: Wanted, depth: int = _DEEPEST) -> bool:
    """Return whether `wanted` is found in `data` or in what it packs."""
    if wanted.text.search(data):
        return True
    parts = _unpacked(data[:8], lambda: io.BytesIO(data), wanted)
    return depth > 0 and any(holds(part, wanted, depth - 1) for part in parts)


def files_with(folder: Path, words: Sequence[str]) -> list[Path]:
    """Return the files below `folder` in which any of the texts stands, packed or not; tables are read a batch at a time."""
    wanted = pattern(words)
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and not file.is_symlink())
    return [file for file in files if wanted and _file_holds(file, wanted)]


def _file_holds(file: Path, wanted: Wanted) -> bool:
    with file.open("rb") as stream:
        head = stream.read(8)
        stream.seek(0)
        if _stands_in(stream, wanted):
            return True
    return any(holds(part, wanted, _DEEPEST - 1) for part in _unpacked(head, lambda: file.open("rb"), wanted))


def _stands_in(stream: Any, wanted: Wanted) -> bool:
    """Search piece by piece; each begins with the end of the one before, long enough to see what stands around a text."""
    kept, first = b"", True
    while True:
        read = stream.read(_PIECE)
        piece = kept + read
        for found in wanted.text.finditer(piece):
            if (first or found.start()) and (not read or found.end() < len(piece)):
                return True
        if not read:
            return False
        kept, first = piece[-wanted.longest - 1 :], first and len(piece) <= wanted.longest + 1


def _unpacked(head: bytes, open_file: Callable[[], Any], wanted: Wanted) -> Iterator[bytes]:
    for magic, unpack in _PACKED:
        if head.startswith(magic):
            try:
                with open_file() as file:
                    yield from unpack(file, wanted)
            except _UNREADABLE:
                return


def _gzip(file: Any, _: Wanted) -> Iterator[bytes]:
    yield gzip.decompress(file.read())


def _zip(file: Any, _: Wanted) -> Iterator[bytes]:
    with zipfile.ZipFile(file) as archive:
        for part in archive.infolist():  # two parts may have one name
            yield part.filename.encode()
            with contextlib.suppress(*_UNREADABLE):  # the parts behind it can be read all the same
                yield archive.read(part)


def _parquet(file: Any, wanted: Wanted) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    yield from _tables(pq.ParquetFile(file).iter_batches(), wanted)


def _arrow(file: Any, wanted: Wanted) -> Iterator[bytes]:
    import pyarrow as pa

    with pa.ipc.open_file(file) as reader:
        yield from _tables((reader.get_batch(number) for number in range(reader.num_record_batches)), wanted)


def _tables(batches: Iterator[object], wanted: Wanted) -> Iterator[bytes]:
    """Yield as JSON the values of tables in which a text may stand: each of a column once, of numbers only those that are wanted."""
    import polars as pl

    for batch in batches:
        frame = pl.from_arrow(batch)
        for column in frame.get_columns() if isinstance(frame, pl.DataFrame) else ():
            once = column.unique() if column.dtype == pl.String else column
            if column.dtype.is_integer() or column.dtype.is_float():
                whole = column.cast(pl.Float64).abs().floor()
                asked = pl.Series([abs(number) // 1 for number in wanted.numbers], dtype=pl.Float64)
                once = column.filter(whole.is_in(asked.implode()))
            if len(once):
                yield once.to_frame().write_ndjson().encode()


_PACKED: tuple[tuple[bytes, Callable[[Any, Wanted], Iterator[bytes]]], ...] = (
    (b"\x1f\x8b", _gzip),
    (b"PK\x03\x04", _zip),
    (b"PAR1", _parquet),
    (b"ARROW1", _arrow),
)
"""How a packed file begins, and what unpacks it."""
