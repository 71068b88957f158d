"""The Parquet files of a version, in order: one small blob per version, so that a reader needs no log."""

from __future__ import annotations

import msgspec

from mlopsfw.kernel.roles.host import Blobs


class DataFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Parquet file.

    Args:
        path: Relative to the table's location.
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
    """Return the manifest in the blob `digest`."""
    return msgspec.json.decode(blobs.get(digest), type=Manifest)
