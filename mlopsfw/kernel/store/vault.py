"""`Vault`: what `BlobStore` asks to encrypt and decrypt. The layout is `sealed`'s, the keys are `keyring`'s.

A blob's own key is derived from its plaintext's digest and the ring's seed, so equal content has equal stored bytes and
address: storing it again costs a look-up, and a step's cache goes on to work. Who has not the seed learns which blobs
are equal, and no more.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import io
from collections.abc import Callable, Iterator
from hashlib import file_digest, sha256
from pathlib import Path

from mlopsfw.kernel.base.errors import ConfigError, DataError
from mlopsfw.kernel.store import sealed
from mlopsfw.kernel.store.keyring import Keyring, unwrap, wrap
from mlopsfw.kernel.store.sealed import HEADER, Header

_KEY = 32


class Vault:
    """Encrypts blobs with a key each.

    Args:
        keyring: The keys that wrap them.
    """

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring

    def seal(self, data: bytes) -> bytes:
        """Return `data` as it is stored."""
        header, key = self._keyed(sha256(data).digest(), len(data))
        return b"".join(sealed.seal(io.BytesIO(data), header, key))

    def seal_file(self, file: Path, to: Path) -> None:
        """Write `file` to `to` as it is stored.

        Raise `DataError` where it changed meanwhile; `to` is of no use then.
        """
        with file.open("rb") as source:
            digest = file_digest(source, "sha256").digest()
            size, plaintext = source.tell(), sha256()
            source.seek(0)
            header, key = self._keyed(digest, size)
            watched = _Watched(source, plaintext.update)
            with to.open("xb") as sink:
                for part in sealed.seal(watched, header, key):
                    sink.write(part)
            if source.read(1) or plaintext.digest() != digest:  # one key for two contents: it must not be stored
                raise DataError(
                    f"{file} changed while mlopsfw stored it", hint="Store it again after all writing ended."
                )

    def open(self, fetch: Callable[[int, int], bytes], start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the plaintext of the stored bytes that `fetch(start, length)` returns, or a range of it.

        Raises:
            WrongKey: The user's key, or the ring, is another.
            Corrupt: The bytes are not what was stored.
        """
        header = sealed.read_header(fetch(0, HEADER))
        key = unwrap(self.keyring.key(header.ring_key), header.wrapped)
        yield from sealed.unseal(fetch, header, key, start, length)

    def is_of(self, stored: bytes, digest: bytes) -> bool:
        """Return whether the blob whose stored bytes begin with `stored` has the plaintext of that sha256."""
        header = sealed.read_header(stored)
        key = unwrap(self.keyring.key(header.ring_key), header.wrapped)
        return hmac.compare_digest(key, self._own(digest, header.size))

    def _keyed(self, digest: bytes, size: int) -> tuple[Header, bytes]:
        blob_key, ring = self._own(digest, size), self.keyring.open().keys
        identity = next(reversed(ring))
        return Header(identity, wrap(ring[identity], blob_key), size), blob_key

    def _own(self, digest: bytes, size: int) -> bytes:
        return hmac.digest(self.keyring.open().seed, b"mlopsfw blob key" + digest + size.to_bytes(8), "sha256")


class _Watched:
    """A file that passes every byte read to a callback."""

    def __init__(self, source: io.BufferedReader, progress: Callable[[bytes], None]) -> None:
        self._source, self._progress = source, progress

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        data = self._source.read(size)
        self._progress(data)
        return data


def parse_key(text: str, reference: str) -> bytes:
    """Return the 32 bytes that a secret's `text` spells in hex or base64.

    Raise `ConfigError`, which never holds the text.
    """
    for decode in (bytes.fromhex, _base64):
        try:
            key = decode(text.strip())
        except (ValueError, binascii.Error):
            continue
        if len(key) == _KEY:
            return key
    raise ConfigError(
        f"{reference} is not a key of 32 bytes in hex or base64", hint="Make one with: openssl rand -hex 32"
    )


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
