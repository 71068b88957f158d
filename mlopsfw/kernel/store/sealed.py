"""The layout of an encrypted blob: a header, then chunks of fixed size, each authenticated with its place.

    magic (8) · id of the key-encryption key (8) · the blob's own key, wrapped (40) · bytes of plaintext (8) · chunks

Each chunk is AES-256-GCM over 64 KiB of plaintext (the last may be shorter, and there is always one) and is 16 bytes
longer. Its nonce is its number and whether it is the last; its associated data is the size. So a chunk that is moved,
repeated, cut off or taken from another blob does not open, and any range is read by opening only the chunks that it
touches. A key serves one plaintext alone (`vault`), hence no nonce ever serves two; which key wraps it is no part of
the associated data, so content that is stored again after a rotation has the same chunks, and no nonce serves two tags
either. The construction is STREAM (Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from mlopsfw.kernel.base.errors import Corrupt

MAGIC = b"mlopsfw\x01"
CHUNK = 1 << 16
"""Bytes of plaintext in a chunk; part of the format."""
_LAYOUT = struct.Struct(">8s8s40sQ")
HEADER = _LAYOUT.size
TAG = 16
_NONCE = struct.Struct(">QI")


class Header(NamedTuple):
    """What stands before the chunks.

    Args:
        ring_key: Id of the key that wraps the blob's own.
        wrapped: The blob's own key, wrapped (RFC 3394).
        size: Bytes of plaintext.
    """

    ring_key: bytes
    wrapped: bytes
    size: int

    @property
    def bound(self) -> bytes:
        """The associated data of every chunk."""
        return MAGIC + self.size.to_bytes(8)

    def pack(self) -> bytes:
        """Return it as stored."""
        return _LAYOUT.pack(MAGIC, *self)


def is_sealed(data: bytes) -> bool:
    """Return whether stored bytes are an encrypted blob."""
    return data.startswith(MAGIC)


def read_header(data: bytes) -> Header:
    """Return the header of an encrypted blob. Raise `Corrupt` if it is incomplete."""
    if len(data) < HEADER or not is_sealed(data):
        raise Corrupt("an encrypted blob is cut off within its header", hint="Run `mlopsfw doctor --verify`.")
    return Header(*_LAYOUT.unpack_from(data)[1:])


class Source(Protocol):
    """What plaintext is read from."""

    def read(self, size: int = ..., /) -> bytes:
        """Return the next `size` bytes, fewer at the end."""


def seal(source: Source, header: Header, key: bytes) -> Iterator[bytes]:
    """Yield the stored bytes of what `source` holds, `header.size` bytes, under the blob's own `key`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(key)
    yield header.pack()
    for number in range(_chunks(header)):
        yield cipher.encrypt(_nonce(number, header), source.read(CHUNK), header.bound)


def unseal(
    fetch: Callable[[int, int], bytes], header: Header, key: bytes, start: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """Yield plaintext, authenticated, from `start` on, `length` bytes of it or up to the end.

    Args:
        fetch: Returns `(start, length)` of the stored bytes.
        header: Of the blob.
        key: The blob's own.
        start: Byte of the plaintext.
        length: None for all that follows.

    Raises:
        Corrupt: A chunk is not what was stored at its place.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(key)
    end = header.size if length is None else min(header.size, start + length)
    for number in range(start // CHUNK, max(-(-end // CHUNK), int(not start))):
        try:
            stored = fetch(HEADER + number * (CHUNK + TAG), CHUNK + TAG)
            chunk = cipher.decrypt(_nonce(number, header), stored, header.bound)
        except (InvalidTag, ValueError):
            hint = "Run `mlopsfw doctor --verify`, and restore the blob from a copy."
            raise Corrupt(f"chunk {number} of an encrypted blob cannot be decrypted", hint=hint) from None
        at = number * CHUNK
        yield chunk[max(0, start - at) : end - at]


def _chunks(header: Header) -> int:
    return max(1, -(-header.size // CHUNK))


def _nonce(number: int, header: Header) -> bytes:
    return _NONCE.pack(number, number == _chunks(header) - 1)
