"""Read a blob's plaintext in parts, without a local copy of it: `gc` looks for digests in what nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mlopsfw.kernel.store.blobs import decrypt, entry_of, key_of
from mlopsfw.kernel.store.sealed import CHUNK, HEADER, TAG, is_sealed, read_header

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.storage import Storage
    from mlopsfw.kernel.store.vault import Vault


def peek(storage: Storage, key: str, vault: Vault | None, length: int) -> bytes:
    """Return the first `length` bytes that were put under a blob's key, fetching no more than is needed for them."""
    data = storage.get(key, length=max(length, HEADER))
    if not is_sealed(data):
        return data[:length]
    data = storage.get(key, length=HEADER + max(1, -(-length // CHUNK)) * (CHUNK + TAG))
    return b"".join(decrypt(lambda at, size: data[at : at + size], vault, 0, length))


def pieces(storage: Storage, key: str, vault: Vault | None, size: int) -> Iterator[bytes]:
    """Yield in parts what was put under a blob's key, fetching `size` bytes at a time. Raise `NotFound`."""
    fetch = _read_ahead(storage, key, size)
    if is_sealed(fetch(0, HEADER)):
        yield from decrypt(fetch, vault)
        return
    start = 0
    while part := fetch(start, size):
        yield part
        start += len(part)


def _read_ahead(storage: Storage, key: str, size: int) -> Callable[[int, int], bytes]:
    """Return what reads ranges of a blob that follow each other, from `size` bytes fetched at once."""
    buffer, first = b"", 0

    def fetch(start: int, length: int) -> bytes:
        nonlocal buffer, first
        if not first <= start <= start + length <= first + len(buffer):
            buffer, first = storage.get(key, start=start, length=max(length, size)), start
        return buffer[start - first :][:length]

    return fetch


def size_of(storage: Storage, digest: str) -> int:
    """Return how many bytes were put as a blob. Raise `NotFound`."""
    head = storage.get(key_of(digest), length=HEADER)
    entry = entry_of(storage, digest)
    return read_header(head).size if is_sealed(head) else entry.size if entry else 0
