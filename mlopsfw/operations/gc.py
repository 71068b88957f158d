"""`gc`: delete the blobs that nothing refers to, and finish what crashes left half-done in the ledger.

A blob is kept if any event names its digest, or a kept blob that is JSON does (a folder's manifest, a list of outputs), or if it is
younger than the grace period by the store's own clock. What looks like a digest counts as one: too much is kept rather than too
little. What a component has released, such as the index of a set of files whose versions went, counts no more in its own events, nor
what it alone led to. Other plugins' events keep it, and so do events of types that no component declares. Tables are not touched.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mlopsfw.kernel.base.errors import Conflict, NotFound, UsageError
from mlopsfw.kernel.events import authority
from mlopsfw.kernel.ledger import Ledger, layout
from mlopsfw.kernel.roles.storage import Entry, Storage
from mlopsfw.kernel.store.blobs import PENDING, REFRESH, ROOT, key_of, peek, pieces

if TYPE_CHECKING:
    from mlopsfw.kernel.component import Released
    from mlopsfw.kernel.events.registry import EventTypes
    from mlopsfw.kernel.store.vault import Vault

T = TypeVar("T")

GRACE = 7 * 86_400.0
"""Seconds for which an unreferenced blob is kept by default."""

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_JSON = (b"{", b"[")
_PIECE = 4 << 20  # bytes of a blob that are searched at a time
_OVERLAP = 65  # bytes: a digest and what stands before it
SAFE = 2 * REFRESH
"""Seconds: who stores a blob that is older gives it a new time, so a shorter grace period is for whoever is alone with the project."""
_BESIDE = 8
_BATCH = 500
_NOTHING: Released = MappingProxyType({})
_DEAD = 900.0  # seconds after which another collection's list of deletions is taken to be a dead one's


class _Typed(msgspec.Struct):
    """What is read of an entry."""

    type: str


class Collection(msgspec.Struct, kw_only=True):
    """What a collection did, or would do.

    Args:
        blobs, size: How many blobs there are, and their bytes.
        deleted, freed: Digests of those deleted, and their bytes.
        young: How many nothing refers to, but which are within the grace period.
        tidied: Streams whose seal or segments were finished.
        dry_run: Whether nothing was done.
    """

    blobs: int = 0
    size: int = 0
    deleted: list[str] = []
    freed: int = 0
    young: int = 0
    tidied: list[str] = []
    dry_run: bool = False


def collect(
    storage: Storage,
    ledger: Ledger,
    *,
    released: Released = _NOTHING,
    grace: float = GRACE,
    dry_run: bool = False,
    vault: Vault | None = None,
) -> Collection:
    """Collect once.

    Args:
        storage: What to collect in.
        ledger: The ledger on it.
        released: What components no longer keep: see `mlopsfw.kernel.component.released`.
        grace: Seconds for which an unreferenced blob is kept. Below two days only 0 is taken: it says that nothing else is at work.
        dry_run: Delete nothing.
        vault: Decrypts blobs that are encrypted: what they name is kept.

    Raises:
        Conflict: Another collection is at work.
    """
    if 0 < grace < SAFE:
        raise UsageError(
            f"a grace period of {grace:g} s is too short for unfinished runs",
            hint="Use at least 2 days, or 0 if nothing else uses the project.",
        )
    result = Collection(dry_run=dry_run)
    now = store_time(storage)
    entries = list(storage.list(ROOT))  # before the marks: what is stored from now on is not in it
    kept, given_up = _marked(ledger, {entry.key for entry in entries}, vault, released)
    doomed = [entry for entry in entries if entry.key not in kept and entry.modified <= now - grace]
    staying = {entry.key for entry in entries} - kept - {entry.key for entry in doomed}
    for index in given_up & {entry.key for entry in doomed}:  # to erase a blob, one has to know that it was a version's
        told = _led_to(storage, vault, {index}, {entry.key for entry in entries}, set())
        doomed = [entry for entry in doomed if entry.key not in told] if told & staying else doomed
    result.blobs, result.size = len(entries), sum(entry.size for entry in entries)
    result.young = len(entries) - len(doomed) - sum(entry.key in kept for entry in entries)
    gone = doomed if dry_run else list(delete(storage, doomed, now))
    result.deleted, result.freed = [_digest(entry.key) for entry in gone], sum(entry.size for entry in gone)
    result.tidied = [] if dry_run else _tidy(storage, ledger)
    return result


def unneeded(ledger: Ledger, digests: Iterable[str], vault: Vault | None, released: Released = _NOTHING) -> list[Entry]:
    """Return those of the blobs `digests` that nothing leads to other than through what is `released`."""
    entries = list(ledger.storage.list(ROOT))
    kept, _ = _marked(ledger, {entry.key for entry in entries}, vault, released)
    wanted = {key_of(digest) for digest in digests} - kept
    return [entry for entry in entries if entry.key in wanted]


def store_time(storage: Storage) -> float:
    """Return the time by the clock that stamps the store's objects."""
    key = f"gc/clock-{secrets.token_hex(8)}"
    storage.put(key, b"")
    try:
        return next(entry.modified for entry in storage.list(key))
    finally:
        storage.delete(key)


def _digest(key: str) -> str:
    return key.rpartition("/")[2]


# -- what is kept ------------------------------------------------------------------------------------------------------------


def _marked(ledger: Ledger, keys: set[str], vault: Vault | None, released: Released) -> tuple[set[str], set[str]]:
    """Return those of the blobs `keys` that the ledger leads to, and the released ones, which no event keeps."""
    by_owner = {owner: set(map(key_of, digests)) for owner, digests in released.items()}
    entries = [entry.key for entry in ledger.storage.list(layout.ROOT)]
    named = set[str]()
    for key, text in zip(entries, _beside(partial(_entry, ledger.storage), entries), strict=True):
        place = layout.parse(key)
        own = by_owner.get(authority.owner_of(place.stream), set()) if place else set()
        named |= _keeping(text, own, ledger.types)
    given_up = set[str]().union(*by_owner.values()) - named
    return _led_to(ledger.storage, vault, named & keys, keys, given_up), given_up


def _keeping(text: bytes, own: set[str], types: EventTypes) -> set[str]:
    """Return the blobs that entries name, less what their component has released: a type that none declares keeps all."""
    named = _named([text])
    if not named & own:
        return named
    return (named - own) | _named(line for line in text.splitlines() if not _is_declared(line, types))


def _is_declared(line: bytes, types: EventTypes) -> bool:
    try:
        return msgspec.json.decode(line, type=_Typed).type in types
    except msgspec.DecodeError:  # damaged: `audit verify` says so
        return False


def _led_to(storage: Storage, vault: Vault | None, waiting: set[str], keys: set[str], but: set[str]) -> set[str]:
    """Return those of the blobs `keys` that `waiting` lead to, and these, other than through `but`."""
    marked: set[str] = set()
    while waiting:
        marked |= waiting
        found = _beside(partial(_named_in, storage, vault), waiting)
        waiting = {key for names in found for key in names & keys} - marked - but
    return marked


def _named(texts: Iterable[bytes]) -> set[str]:
    return {key_of(found.decode()) for text in texts for found in _DIGEST.findall(text)}


def _entry(storage: Storage, key: str) -> bytes:
    """Return an entry; one that is gone since it was listed is in its segment, which was there before it went."""
    try:
        return storage.get(key)
    except NotFound:
        place = layout.parse(key)
        if place is None:
            raise
        return storage.get(layout.segment_key(place.stream, place.seq))


def _beside(read: Callable[[str], T], keys: Iterable[str]) -> Iterator[T]:
    with ThreadPoolExecutor(_BESIDE) as pool:
        yield from pool.map(read, keys)


def _named_in(storage: Storage, vault: Vault | None, key: str) -> set[str]:
    """Return what a blob names that is JSON; read in pieces, so that its size does not matter."""
    try:
        if peek(storage, key, vault, 1) not in _JSON:
            return set()
        return _named(_overlapping(pieces(storage, key, vault, _PIECE)))
    except NotFound:
        return set()


def _overlapping(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each part with the end of those before it, so that a digest that stands across a border is found whole."""
    end = b""
    for part in parts:
        text = end + part
        yield text
        end = text[-_OVERLAP:]


# -- what goes ---------------------------------------------------------------------------------------------------------------


def delete(storage: Storage, doomed: list[Entry], now: float) -> Iterator[Entry]:
    """Delete blobs, telling writers beforehand which (`BlobStore` stores again what it stored meanwhile); yield those deleted."""
    for first in range(0, len(doomed), _BATCH):
        batch = doomed[first : first + _BATCH]
        _announce(storage, [_digest(entry.key) for entry in batch], now)
        try:
            for entry in batch:
                if next(iter(storage.list(entry.key)), None) == entry:  # not stored again since it was listed
                    storage.delete(entry.key)
                    yield entry
        finally:
            storage.delete(PENDING)


def _announce(storage: Storage, digests: list[str], now: float) -> None:
    names = msgspec.json.encode(digests)
    if storage.put_if_absent(PENDING, names):
        return
    other = next(iter(storage.list(PENDING)), None)
    if other is not None and other.modified > now - _DEAD:
        raise Conflict("another gc is running", hint="Wait for it to end. If it has died, try again after 15 minutes.")
    storage.delete(PENDING)
    if not storage.put_if_absent(PENDING, names):
        raise Conflict("another gc has started", hint="Wait for it to end.")


def _tidy(storage: Storage, ledger: Ledger) -> list[str]:
    """Finish seals and segments that were cut short; return the streams."""
    smalls: dict[str, int] = {}
    for entry in storage.list(layout.ROOT):
        place = layout.parse(entry.key)
        if place and not place.is_segment:
            smalls[place.stream] = smalls.get(place.stream, 0) + 1
    return [name for name in smalls if ledger.stream(name).tidy()]
