"""Tombstones of erased blobs: `erased/<digest>` tells a reader that the blob was erased, and which blob replaced it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mlopsfw.kernel.base.errors import Erased, NotFound
from mlopsfw.kernel.roles.storage import Storage

ROOT = "erased/"


class Tombstone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a blob is no more.

    Args:
        erasure: Id of the erasure, as in the stream `privacy/erasures`.
        new: The blob with what is left of its rows; empty where it was dropped.
    """

    erasure: str
    new: str = ""


def bury(storage: Storage, digest: str, stone: Tombstone) -> None:
    """Leave a tombstone; durable when this returns."""
    storage.put(f"{ROOT}{digest}", msgspec.json.encode(stone))


def buried(storage: Storage) -> Iterator[str]:
    """Yield the digests of erased blobs."""
    return (entry.key.removeprefix(ROOT) for entry in storage.list(ROOT))


def refuse(storage: Storage, digest: str) -> None:
    """Raise `Erased` where the blob has a tombstone."""
    try:
        stone = msgspec.json.decode(storage.get(f"{ROOT}{digest}"), type=Tombstone)
    except NotFound:
        return
    hint = f"Its remaining rows are in blob {stone.new}." if stone.new else "Nothing of it remains."
    raise Erased(f"blob {digest} was erased on request (erasure {stone.erasure})", hint=hint)
