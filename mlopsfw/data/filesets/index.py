"""Where the bytes of a version's files are: a blob that the version's event names, and so `gc` keeps what it leads to.

An index names segments, and each segment blobs and what is where in them. A version takes over the segments of the one before it, so that
what it stores grows with what is new; small ones are merged, so that there are few. A segment may tell of contents that the version
has no more, but not of a blob that it does not need: what only earlier versions need can be vacuumed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.base.errors import Erased, NotFound, UsageError

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.kernel.roles.host import Blobs

LARGEST = 1 << 16
"""Contents in a segment, at most."""
_WIDTH = 32  # bytes of a sha256


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Bytes `start` to `start + size` of the blob `blob`."""

    blob: str
    start: int
    size: int


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a version's event names.

    Args:
        segments: Digests of their blobs.
        format: Version of this layout.
    """

    segments: list[str]
    format: int = 1


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content → where it is, as columns; JSON, with bytes as base64, since `gc` follows what JSON names.

    Args:
        blobs: Digests of blobs.
        digests: Contents' sha256, 32 bytes each.
        numbers: Of each the number of its blob; as the next two 64-bit integers, little-endian.
        starts: Its first byte there.
        sizes: How many bytes.
        format: Version of this layout.
    """

    blobs: list[str]
    digests: bytes
    numbers: bytes
    starts: bytes
    sizes: bytes
    format: int = 1


class Told(msgspec.Struct, frozen=True):
    """What an index leads to."""

    blobs: list[str]
    segments: list[str]


# -- reading ----------------------------------------------------------------------------------------------------------------


def load(digest: str, blobs: Blobs) -> pl.DataFrame:
    """Return where content is, each once: `digest` (sha256, binary), `blob`, `start`, `size`, and the `segment` that tells so."""
    import polars as pl

    index = msgspec.json.decode(blobs.get(digest), type=Index)
    parts = [_frame(msgspec.json.decode(blobs.get(each), type=Segment), each) for each in index.segments]
    return pl.concat([nowhere(), *parts]).unique("digest", keep="first", maintain_order=True)


def _frame(segment: Segment, name: str) -> pl.DataFrame:
    import numpy as np
    import polars as pl

    numbers, starts, sizes = (
        np.frombuffer(column, "<i8") for column in (segment.numbers, segment.starts, segment.sizes)
    )
    return pl.DataFrame(
        {
            "digest": binary(segment.digests),
            "blob": pl.Series(segment.blobs, dtype=pl.String).gather(numbers),
            "start": starts,
            "size": sizes,
            "segment": pl.repeat(name, len(numbers), dtype=pl.String, eager=True),
        }
    )


def binary(digests: bytes | bytearray) -> pl.Series:
    """Return digests that follow each other, 32 bytes each, as a column."""
    import polars as pl
    import pyarrow as pa

    array = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(_WIDTH), len(digests) // _WIDTH, [None, pa.py_buffer(digests)]
    )
    return pl.Series("digest", array.cast(pa.binary()), dtype=pl.Binary)


def nowhere() -> pl.DataFrame:
    """Return what `load` does for no content."""
    return frame([])


def frame(locations: Iterable[tuple[str, Place]]) -> pl.DataFrame:
    """Return places (of a content's sha256 in hex) as `load` does, of no segment yet."""
    import polars as pl

    rows = [(bytes.fromhex(name), location.blob, location.start, location.size, None) for name, location in locations]
    schema = {"digest": pl.Binary, "blob": pl.String, "start": pl.Int64, "size": pl.Int64, "segment": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def places(table: pl.DataFrame) -> dict[str, Place]:
    """Return what `load` does by the contents' sha256 in hex."""
    rows = table.select("digest", "blob", "start", "size").iter_rows()
    return {digest.hex(): Place(blob, start, size) for digest, blob, start, size in rows}


def told(digest: str, blobs: Blobs) -> Told | None:
    """Return what an index leads to; None where it is gone. A segment that is gone leads to nothing."""
    try:
        index = msgspec.json.decode(blobs.get(digest), type=Index)
    except (NotFound, Erased):
        return None
    named: set[str] = set()
    for segment in index.segments:
        try:
            named |= set(msgspec.json.decode(blobs.get(segment), type=Segment).blobs)
        except (NotFound, Erased):
            continue
    return Told(sorted(named), index.segments)


def of_version(blobs: Blobs, version: DatasetVersion) -> pl.DataFrame:
    """Return where the bytes of a version's files are, as `load` does. Raise `UsageError` where it is a table."""
    if not version.index:
        raise UsageError(f"{version.ref} is a table, not a set of files", hint="`mlopsfw data show` lists its columns.")
    return load(version.index, blobs)


# -- writing ----------------------------------------------------------------------------------------------------------------


def save(rows: pl.DataFrame, needed: pl.DataFrame, blobs: Blobs) -> str:
    """Store the locations of contents, and return the digest of the index.

    Args:
        rows: The locations of all needed contents, and perhaps of others, as `load` returns them.
        needed: The contents of the version: `digest`, binary.
        blobs: The blobs to store to.
    """
    used = rows.join(needed, on="digest", how="semi").unique("digest", keep="first", maintain_order=True)
    sizes = _kept(rows, used)
    remaining = used.filter(~used["segment"].is_in(list(sizes)).fill_null(value=False))
    for segment in sorted(sizes, key=sizes.__getitem__):  # merged with what is no smaller, the small ones are few
        if not remaining.height or sizes[segment] > 2 * remaining.height or remaining.height + sizes[segment] > LARGEST:
            break
        remaining = remaining.vstack(used.filter(segment=segment))
        del sizes[segment]
    new = [
        _store(remaining[start : start + LARGEST].sort("blob", "start"), blobs)
        for start in range(0, remaining.height, LARGEST)
    ]
    return blobs.put(msgspec.json.encode(Index([*sorted(sizes), *new])))


def _kept(rows: pl.DataFrame, used: pl.DataFrame) -> dict[str, int]:
    """Return the segments that are needed as they are, and how many contents each tells of: each of their blobs is used."""
    import polars as pl

    told_of = rows.filter(pl.col("segment").is_not_null()).group_by("segment", "blob").len()
    idle = told_of.join(used, on=["segment", "blob"], how="anti")
    usage = told_of.join(idle, on="segment", how="anti").group_by("segment").agg(pl.col("len").sum())
    return dict(usage.iter_rows())


def _store(rows: pl.DataFrame, blobs: Blobs) -> str:
    import polars as pl

    names = rows["blob"].unique(maintain_order=True)
    numbers = rows["blob"].replace_strict(names, pl.int_range(len(names), eager=True), return_dtype=pl.Int64)
    columns = (column.to_numpy().astype("<i8").tobytes() for column in (numbers, rows["start"], rows["size"]))
    numbered, starts, sizes = columns
    segment = Segment(names.to_list(), b"".join(rows["digest"]), numbered, starts, sizes)
    return blobs.put(msgspec.json.encode(segment))
