"""Delete a blob for good: what an erasure does with each of those in which it found the subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.kernel.store.blobs import key_of
from mlopsfw.kernel.store.tombstones import Tombstone, bury

if TYPE_CHECKING:
    from mlopsfw.kernel.services import Services


def drop(services: Services, digest: str, stone: Tombstone) -> None:
    """Delete a blob and this machine's copy of it, leaving a tombstone; one that is gone already is no error."""
    bury(services.storage, digest, stone)
    copy = services.workspace.private_folder("blobs") / digest[:2] / digest
    copy.unlink(missing_ok=True)  # before the blob: while that is there, the process that finishes this finds it again
    services.storage.delete(key_of(digest))
    services.blobs.doubt()
