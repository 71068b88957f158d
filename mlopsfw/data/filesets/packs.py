"""Store files as blobs: many small files in one blob, since each blob waits for the disk once; a large file alone, streamed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.data.filesets.index import Location
from mlopsfw.data.filesets.walk import Look, look_at
from mlopsfw.data.tables.digest import file_digest
from mlopsfw.data.tables.prefetch import in_order
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.host import Blobs

SMALL = 1 << 20
"""Bytes up to which a file shares its blob."""
PACK = 16 << 20
"""Bytes at which a shared blob is full."""

File = tuple[str, Look]
"""A file's path on this machine, and its look when it was found."""


class Stored(msgspec.Struct, frozen=True):
    """A file that was read and stored: the sha256 and the location of its content."""

    file: str
    look: Look
    digest: str
    location: Location | None


def store(files: Iterable[File], blobs: Blobs, has: Callable[[str], bool]) -> Iterator[Stored]:
    """Read files and store new contents; yield each file once its bytes are durable.

    Args:
        files: The files.
        blobs: The blobs to store to.
        has: Whether a content's bytes are stored already.

    Raises:
        DataError: A file cannot be read, or changed while it was read.
    """
    for stored in in_order(lambda group: _store_group(group, blobs, has), _groups(files)):
        yield from stored


def _groups(files: Iterable[File]) -> Iterator[list[File]]:
    """Yield groups of files that share a blob. Groups follow the set's order, so that files of one folder stay together."""
    group: list[File] = []
    size = 0
    for file in files:
        if file[1].size > SMALL:
            yield [file]
            continue
        group.append(file)
        size += file[1].size
        if size >= PACK or len(group) >= 10_000:  # noqa: PLR2004 - empty files fill no blob
            yield group
            group, size = [], 0
    if group:
        yield group


def _store_group(group: list[File], blobs: Blobs, has: Callable[[str], bool]) -> list[Stored]:
    if group[0][1].size > SMALL:
        return [_store_large(*group[0], blobs, has)]
    read = [(file, look, _read(file, look)) for file, look in group]
    digests = [hashlib.sha256(data).hexdigest() for _, _, data in read]
    pack, starts = bytearray(), dict[str, int]()
    for digest, (_, _, data) in zip(digests, read, strict=True):
        if digest not in starts and not has(digest):
            starts[digest] = len(pack)
            pack += data
    blob = blobs.put(bytes(pack)) if starts else ""
    return [
        Stored(file, look, digest, Location(blob, starts[digest], len(data)) if digest in starts else None)
        for digest, (file, look, data) in zip(digests, read, strict=True)
    ]


def _read(file: str, look: Look) -> bytes:
    try:
        data = Path(file).read_bytes()
        now = look_at(file)
    except OSError as error:
        raise _unreadable(file, error) from None
    if now != look or len(data) != look.size:
        raise _changed(file)
    return data


def _store_large(file: str, look: Look, blobs: Blobs, has: Callable[[str], bool]) -> Stored:
    try:
        digest = file_digest(Path(file))
        location = None if has(digest) else Location(blobs.put(Path(file)), 0, look.size)
        if look_at(file) != look:
            raise _changed(file)
    except OSError as error:
        raise _unreadable(file, error) from None
    return Stored(file, look, digest, location)


def _unreadable(file: str, error: OSError) -> DataError:
    return DataError(f"{file} cannot be read: {error.strerror or error}", hint="Nothing was committed.")


def _changed(file: str) -> DataError:
    return DataError(
        f"{file} changed while mlopsfw read it",
        hint="Nothing was committed. Add the set again after the writing has ended.",
    )
