"""The Parquet files of a version, in order: one small blob per version, so that a reader needs no log."""

from __future__ import annotations

import re

import msgspec

from mlopsfw.kernel.base.errors import Corrupt
from mlopsfw.kernel.roles.host import Blobs

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class DataFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Parquet file.

    Args:
        path: Its name in the table's location. It cannot lead out of it.
        rows: Its number of rows.
        size: Bytes.
        modified: Milliseconds since the epoch, for Delta's log.
        stats: Delta's statistics, as JSON.
    """

    path: str
    rows: int
    size: int
    modified: int
    stats: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of one version.

    Args:
        schema: The Arrow schema, as an IPC message.
        files: The files in the order of their rows.
        blocks: Digests of the full blocks of rows (`mlopsfw.data.tables.digest.BLOCK`), so that an append hashes only what is new.
        format: Version of this layout.
    """

    schema: bytes
    files: tuple[DataFile, ...]
    blocks: tuple[str, ...]
    format: int = 1

    @property
    def rows(self) -> int:
        """How many rows the version has."""
        return sum(file.rows for file in self.files)


def save(manifest: Manifest, blobs: Blobs) -> str:
    """Store `manifest`; return its blob's digest."""
    return blobs.put(msgspec.json.encode(manifest))


def load(digest: str, blobs: Blobs) -> Manifest:
    """Return the manifest in the blob `digest`.

    Raises:
        Corrupt: It is none, or names a file that may lie outside of its table: its project comes from somebody else.
    """
    hint = "Do not use this project. Take another copy of it, or ask those who made it."
    try:
        manifest = msgspec.json.decode(blobs.get(digest), type=Manifest)
    except msgspec.DecodeError as error:
        raise Corrupt(f"the blob {digest} is no manifest of a table: {error}", hint=hint) from None
    for file in manifest.files:
        if not _NAME.fullmatch(file.path):
            raise Corrupt(f"the manifest {digest} names {file.path[:200]!r}, which is no file of a table", hint=hint)
    return manifest
