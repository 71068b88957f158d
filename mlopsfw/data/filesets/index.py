"""The index of a version: a blob that says in which blobs the bytes of its files lie. The version's event names it, so `gc` keeps these blobs.

An index names segments. Each segment names blobs, and says which content lies where in them. A version reuses the segments of the version
before it, so it stores only what is new; small segments are merged to keep their number low. A segment may list contents that the version
no longer has, but names only blobs that the version needs, so that a vacuum can remove the blobs that only earlier versions need.
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
"""The most contents in a segment."""
_WIDTH = 32  # bytes of a sha256


class Location(msgspec.Struct, frozen=True, array_like=True):
    """Bytes `start` to `start + size` of the blob `blob`."""

    blob: str
    start: int
    size: int


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The blob that a version's event names.

    Args:
        segments: Digests of their blobs.
        format: Version of this layout.
    """

    segments: list[str]
    format: int = 1


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content → its location, as columns; JSON, with bytes as base64, since `gc` follows JSON.

    Args:
        blobs: Digests of blobs.
        digests: Contents' sha256, 32 bytes each.
        numbers: The number of each content's blob; this and the next two are 64-bit integers, little-endian.
        starts: The first byte of each content in its blob.
        sizes: The length of each content in bytes.
        format: Version of this layout.
    """

    blobs: list[str]
    digests: bytes
    numbers: bytes
    starts: bytes
    sizes: bytes
    format: int = 1


class Reachable(msgspec.Struct, frozen=True):
    """The blobs and segments that an index leads to."""

    blobs: list[str]
    segments: list[str]


# -- reading ----------------------------------------------------------------------------------------------------------------


def load(digest: str, blobs: Blobs) -> pl.DataFrame:
    """Return the location of each content, once: `digest` (sha256, binary), `blob`, `start`, `size`, and the `segment` that lists it."""
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
    """Return a table of no locations, with the columns of `load`."""
    return frame([])


def frame(locations: Iterable[tuple[str, Location]]) -> pl.DataFrame:
    """Return locations by their content's sha256 in hex as a table with the columns of `load`; they belong to no segment yet."""
    import polars as pl

    rows = [(bytes.fromhex(name), location.blob, location.start, location.size, None) for name, location in locations]
    schema = {"digest": pl.Binary, "blob": pl.String, "start": pl.Int64, "size": pl.Int64, "segment": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def locations(table: pl.DataFrame) -> dict[str, Location]:
    """Return the locations in a table of `load` by their content's sha256 in hex."""
    rows = table.select("digest", "blob", "start", "size").iter_rows()
    return {digest.hex(): Location(blob, start, size) for digest, blob, start, size in rows}


def reachable(digest: str, blobs: Blobs) -> Reachable | None:
    """Return what an index leads to, or None if the index is gone. A segment that is gone leads to nothing."""
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
    return Reachable(sorted(named), index.segments)


def of_version(blobs: Blobs, version: DatasetVersion) -> pl.DataFrame:
    """Return the locations of a version's contents, as `load` does. Raise `UsageError` if the version is a table."""
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
    for segment in sorted(
        sizes, key=sizes.__getitem__
    ):  # merging only with larger ones keeps the number of small segments low
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
    """Return the segments to reuse, those whose every blob is used, and how many contents each lists."""
    import polars as pl

    listed = rows.filter(pl.col("segment").is_not_null()).group_by("segment", "blob").len()
    idle = listed.join(used, on=["segment", "blob"], how="anti")
    usage = listed.join(idle, on="segment", how="anti").group_by("segment").agg(pl.col("len").sum())
    return dict(usage.iter_rows())


def _store(rows: pl.DataFrame, blobs: Blobs) -> str:
    import polars as pl

    names = rows["blob"].unique(maintain_order=True)
    numbers = rows["blob"].replace_strict(names, pl.int_range(len(names), eager=True), return_dtype=pl.Int64)
    columns = (column.to_numpy().astype("<i8").tobytes() for column in (numbers, rows["start"], rows["size"]))
    numbered, starts, sizes = columns
    segment = Segment(names.to_list(), b"".join(rows["digest"]), numbered, starts, sizes)
    return blobs.put(msgspec.json.encode(segment))
