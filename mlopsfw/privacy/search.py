"""Whether texts stand in a file: as bytes, and inside what is packed (gzip, zip, Parquet, Arrow IPC).

Made for `forget`, which drops what it cannot rewrite, and for whoever wants to see for himself that a value is gone.
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

_DEEPEST = 4  # archives within archives
_LETTER = rb"[0-9A-Za-z_]"


def pattern(words: Sequence[str]) -> re.Pattern[bytes] | None:
    """Return what finds any of the texts where it stands for itself, not within a longer word; None for no texts."""
    found = b"|".join(re.escape(word.encode()) for word in words)
    return re.compile(rb"(?<!%s)(?:%s)(?!%s)" % (_LETTER, found, _LETTER)) if words else None


def holds(data: bytes, wanted: re.Pattern[bytes], depth: int = _DEEPEST) -> bool:
    """Return whether `wanted` is found in `data` or in what it packs."""
    if wanted.search(data):
        return True
    return depth > 0 and any(holds(part, wanted, depth - 1) for part in _unpacked(data))


def files_with(folder: Path, words: Sequence[str]) -> list[Path]:
    """Return the files below `folder` in which any of the texts stands, packed or not."""
    wanted = pattern(words)
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and not file.is_symlink())
    return [file for file in files if wanted and holds(file.read_bytes(), wanted)]


def _unpacked(data: bytes) -> Iterator[bytes]:
    for magic, unpack in _PACKED:
        if data.startswith(magic):
            try:
                yield from unpack(data)
            except (OSError, EOFError, zlib.error, zipfile.BadZipFile, ValueError):  # damaged, or only looks so
                return


def _zip(data: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            yield name.encode()
            yield archive.read(name)


def _parquet(data: bytes) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    yield from _tables(pq.ParquetFile(pa.BufferReader(data)).iter_batches())


def _arrow(data: bytes) -> Iterator[bytes]:
    import pyarrow as pa

    with pa.ipc.open_file(pa.BufferReader(data)) as reader:
        yield from _tables(reader.get_batch(number) for number in range(reader.num_record_batches))


def _tables(batches: Iterator[object]) -> Iterator[bytes]:
    import polars as pl

    for batch in batches:
        frame = pl.from_arrow(batch)
        if isinstance(frame, pl.DataFrame):
            yield frame.write_ndjson().encode()


_PACKED = (
    (b"\x1f\x8b", lambda data: iter((gzip.decompress(data),))),
    (b"PK\x03\x04", _zip),
    (b"PAR1", _parquet),
    (b"ARROW1", _arrow),
)
"""How a packed file begins, and what unpacks it."""
