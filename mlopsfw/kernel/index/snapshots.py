"""Snapshots: the ledger's lines in one object of the store, from which a cold machine makes its index.

A snapshot is derived and may be deleted. It holds lines and no SQLite: what is made of it is what the ledger's own
lines say, each checked by its sum and by the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

import msgspec

from mlopsfw.kernel.base.errors import NotFound, StorageError
from mlopsfw.kernel.roles.storage import Storage

ROOT = "snapshots/"


class StreamCopy(NamedTuple):
    """One stream of a snapshot.

    Args:
        name: The stream's.
        objects: What its objects looked like in a listing.
        pieces: Its lines, joined by line feeds and compressed, in order.
    """

    name: str
    objects: str
    pieces: list[bytes]


def restore(storage: Storage) -> list[StreamCopy]:
    """Return the newest snapshot; nothing where there is none that matches its digest."""
    for key in sorted((entry.key for entry in storage.list(ROOT)), reverse=True):
        with suppress(NotFound, msgspec.DecodeError):
            data = storage.get(key)
            if key.endswith(sha256(data).hexdigest()):
                return msgspec.msgpack.decode(data, type=list[StreamCopy])
    return []


def publish(storage: Storage, events: int, streams: Iterable[StreamCopy]) -> None:
    """Keep a snapshot of so many events, and delete those of fewer. A store that refuses is left alone."""
    with suppress(StorageError):
        older = [entry.key for entry in storage.list(ROOT)]
        data = msgspec.msgpack.encode(list(streams))
        key = f"{ROOT}{events:012d}-{sha256(data).hexdigest()}"
        storage.put(key, data)
        for each in older:
            if each < key:
                storage.delete(each)
