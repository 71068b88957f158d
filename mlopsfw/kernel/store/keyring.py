"""The keyring: the keys that wrap blobs' own keys, themselves wrapped by a key of the user's that is never stored.

Rings lie at `keys/ring-<number>`, and the highest counts. A ring is never changed: rotation puts the next one, made
with `put_if_absent`, under the user's new key and with one more key for new blobs, and then deletes those before it.
Killed in between, both are there and both open; the next rotation deletes the old one. Blobs keep their bytes and so
their address.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec

from mlopsfw.kernel.base.errors import Conflict, NotFound, WrongKey
from mlopsfw.kernel.roles.storage import Storage

ROOT = "keys/"
_NAME = ROOT + "ring-{:08d}"


class Wrapped(msgspec.Struct, frozen=True):
    """A key as a ring holds it: its id and its wrapped bytes (RFC 3394)."""

    id: bytes
    wrapped: bytes


class Ring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ring as stored.

    Args:
        by: Id of the user's key.
        seed: What blobs' own keys are derived with.
        keys: Oldest first; the last one serves new blobs.
        format: Version of this layout.
    """

    by: bytes
    seed: Wrapped
    keys: tuple[Wrapped, ...]
    format: int = 1


class OpenRing(NamedTuple):
    """A ring whose keys are unwrapped: its number, the seed, and id → key in the ring's order."""

    number: int
    seed: bytes
    keys: dict[bytes, bytes]


class Keyring:
    """The keys of one storage.

    Args:
        storage: Where the rings are.
        secrets: Returns the user's keys, 32 bytes each, when one is first needed: the first one is for new rings, the
            others open old ones. What reads or writes no encrypted blob works without a key.
    """

    def __init__(self, storage: Storage, secrets: Callable[[], Sequence[bytes]]) -> None:
        self._storage, self._resolve = storage, secrets
        self._ring: OpenRing | None = None

    @cached_property
    def _secrets(self) -> dict[bytes, bytes]:
        """The user's keys by their ids, in their order."""
        return {_id(secret): secret for secret in self._resolve()}

    @property
    def _first(self) -> bytes:
        return next(iter(self._secrets.values()))

    def open(self) -> OpenRing:
        """Return the ring, read once; the first use of a storage makes it. Raise `WrongKey`."""
        if self._ring is None:
            self._ring = self._load()
        return self._ring

    def _load(self) -> OpenRing:
        while True:
            numbers = self._numbers()
            if not numbers:
                self._put(1, os.urandom(32), {})
            elif (ring := self._read(numbers[-1])) is not None:
                return ring

    def key(self, identity: bytes) -> bytes:
        """Return the key of that id; where it is not known the ring is read again. Raise `WrongKey`."""
        if identity not in self.open().keys:  # a rotation has begun a new one; should that fail, what we know stays
            self._ring = self._load()
        try:
            return self.open().keys[identity]
        except KeyError:
            where = self._storage.describe()
            raise WrongKey(
                f"no keyring in {where} holds the key {identity.hex()}", hint=f"Restore {ROOT} from a copy."
            ) from None

    def rotate(self) -> int:
        """Wrap every key anew with the user's first key, begin one for new blobs, and delete older rings.

        Returns the new ring's number.

        Raises:
            Conflict: Another rotation was first.
            WrongKey: None of the user's keys opens the ring.
        """
        old = self._load()
        if not self._put(old.number + 1, old.seed, old.keys):
            raise Conflict("another rotation ran at the same time", hint="Run it again if you need another rotation.")
        self._ring = self._load()
        self._clear()
        return self._ring.number

    def leftovers(self) -> int:
        """Return how many older keyrings an interrupted rotation left behind."""
        return max(0, len(self._numbers()) - 1)

    def _clear(self) -> None:
        for number in self._numbers()[:-1]:
            self._storage.delete(_NAME.format(number))

    def _numbers(self) -> list[int]:
        names = (entry.key.removeprefix(f"{ROOT}ring-") for entry in self._storage.list(f"{ROOT}ring-"))
        return sorted(int(name) for name in names if name.isdecimal())

    def _read(self, number: int) -> OpenRing | None:
        try:
            ring = msgspec.json.decode(self._storage.get(_NAME.format(number)), type=Ring)
        except NotFound:  # a rotation has deleted it since: there is a newer one
            return None
        secret = self._secrets.get(ring.by)
        if secret is None:
            raise WrongKey(
                f"{self._storage.describe()} is encrypted with another key (id {ring.by.hex()})",
                hint="Add that key, [storage] encrypt = [NEW, OLD], and run `mlopsfw storage rotate-key`.",
            )
        keys = {key.id: unwrap(secret, key.wrapped) for key in ring.keys}
        return OpenRing(number, unwrap(secret, ring.seed.wrapped), keys)

    def _put(self, number: int, seed: bytes, keys: dict[bytes, bytes]) -> bool:
        fresh = {os.urandom(8): os.urandom(32)}
        wrapped = tuple(Wrapped(id_, wrap(self._first, key)) for id_, key in {**keys, **fresh}.items())
        ring = Ring(by=_id(self._first), seed=Wrapped(b"", wrap(self._first, seed)), keys=wrapped)
        data = msgspec.json.encode(ring)
        key = _NAME.format(number)
        return self._storage.put_if_absent(key, data) or self._storage.get(key) == data  # an answer may have been lost


def _id(secret: bytes) -> bytes:
    return hmac.digest(secret, b"mlopsfw key id", "sha256")[:8]


def wrap(by: bytes, key: bytes) -> bytes:
    """Return `key` wrapped (RFC 3394)."""
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    return aes_key_wrap(by, key)


def unwrap(by: bytes, wrapped: bytes) -> bytes:
    """Return the key. Raise `WrongKey` where `by` did not wrap it, or it was altered."""
    from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

    try:
        return aes_key_unwrap(by, wrapped)
    except InvalidUnwrap:
        raise WrongKey("a wrapped key cannot be decrypted", hint="The key is wrong, or the store is damaged.") from None
