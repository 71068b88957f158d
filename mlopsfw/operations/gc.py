"""`gc`: delete the blobs that nothing refers to, and finish what crashes left half-done in the ledger.

`gc` keeps a blob if an event names its digest, if a kept JSON blob names it (a folder's manifest, a list of outputs), or if it is
younger than the grace period by the store's own clock. Whatever looks like a digest counts as one, so `gc` may keep too much but never
too little. A component can release a blob that its own events name, such as the index of a file set whose versions were vacuumed: then
these events keep neither that blob nor the blobs that only it leads to. Events of other plugins, and of types that no component declares,
still keep it. `gc` does not touch tables.
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
from mlopsfw.kernel.base.nesting import is_too_deep
from mlopsfw.kernel.events import authority
from mlopsfw.kernel.ledger import Ledger, layout
from mlopsfw.kernel.roles.storage import Entry, Storage
from mlopsfw.kernel.store.blobs import PENDING, REFRESH, ROOT, key_of
from mlopsfw.operations.plaintext import peek, pieces

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
_OVERLAP = 65  # bytes: a digest and the character before it
SAFE = 2 * REFRESH
"""Seconds. Storing an older blob again renews its time. A shorter grace period is safe only if nothing else uses the project."""
_THREADS = 8
_BATCH = 500
_OTHERS = "*"
"""Stands for all owners that have released nothing."""
_NOTHING: Released = MappingProxyType({})
_DEAD = 900.0  # seconds after which the collection that wrote a list of deletions counts as dead


class _Typed(msgspec.Struct):
    """The type of an event, all that `gc` decodes of an entry."""

    type: str


class Collection(msgspec.Struct, kw_only=True):
    """The result of a collection, or of a dry run.

    Args:
        blobs, size: How many blobs there are, and their bytes.
        deleted, freed: Digests of the deleted blobs, and their bytes.
        young: How many unreferenced blobs are within the grace period.
        tidied: Streams whose unfinished seal or segments were completed.
        scratch: Scratch folders on this machine that killed processes left.
        dry_run: Whether this only says what a collection would do.
    """

    blobs: int = 0
    size: int = 0
    deleted: list[str] = []
    freed: int = 0
    young: int = 0
    tidied: list[str] = []
    scratch: list[str] = []
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
        storage: The storage to collect in.
        ledger: The ledger on it.
        released: The blobs that components no longer keep: see `mlopsfw.kernel.component.released`.
        grace: Seconds for which to keep an unreferenced blob: at least two days, or 0 if nothing else uses the project.
        dry_run: Delete nothing.
        vault: Decrypts encrypted blobs, to find the digests in them.

    Raises:
        Conflict: Another collection is running.
        UsageError: The grace period is between 0 and two days.
    """
    if 0 < grace < SAFE:
        raise UsageError(
            f"a grace period of {grace:g} s is too short for unfinished runs",
            hint="Use at least 2 days, or 0 if nothing else uses the project.",
        )
    result = Collection(dry_run=dry_run)
    now = store_time(storage)
    entries = list(storage.list(ROOT))  # before the marking: blobs stored from now on are not listed
    keys = {entry.key for entry in entries}
    live, released_keys = _mark(ledger, keys, vault, released)
    garbage = [entry for entry in entries if entry.key not in live and entry.modified <= now - grace]
    young = keys - live - {entry.key for entry in garbage}
    for index in released_keys.intersection(entry.key for entry in garbage):
        reached = _reach(storage, vault, {index}, keys, set())  # an erasure needs the index to find a version's blobs
        garbage = [entry for entry in garbage if entry.key not in reached] if reached & young else garbage
    result.blobs, result.size = len(entries), sum(entry.size for entry in entries)
    result.young = len(entries) - len(garbage) - sum(entry.key in live for entry in entries)
    deleted = garbage if dry_run else list(delete(storage, garbage, now))
    result.deleted, result.freed = [_digest(entry.key) for entry in deleted], sum(entry.size for entry in deleted)
    result.tidied = [] if dry_run else _tidy(storage, ledger)
    return result


def unneeded(ledger: Ledger, digests: Iterable[str], vault: Vault | None, released: Released = _NOTHING) -> list[Entry]:
    """Return those of the blobs `digests` that nothing but the `released` blobs leads to."""
    entries = list(ledger.storage.list(ROOT))
    live, _ = _mark(ledger, {entry.key for entry in entries}, vault, released)
    wanted = {key_of(digest) for digest in digests} - live
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


# -- marking -----------------------------------------------------------------------------------------------------------------


def _mark(ledger: Ledger, keys: set[str], vault: Vault | None, released: Released) -> tuple[set[str], set[str]]:
    """Return those of the blobs `keys` that the ledger leads to, and the released blobs, which no event keeps."""
    by_owner = {owner: set(map(key_of, digests)) for owner, digests in released.items()}
    entries = [entry.key for entry in ledger.storage.list(layout.ROOT)]
    named: dict[str, set[str]] = {}  # owner → blobs that its events name
    for key, text in zip(entries, _concurrently(partial(_entry, ledger.storage), entries), strict=True):
        entry = layout.parse(key)
        owner = authority.owner_of(entry.stream) if entry else ""
        own = by_owner.get(owner, set())
        named.setdefault(owner if own else _OTHERS, set()).update(_keys_kept_by(text, own, ledger.types))
    direct = set[str]().union(*named.values())
    kept = set[str]()
    for owner, names in named.items():  # a release counts only on the way from its owner's events
        kept |= _reach(ledger.storage, vault, names & keys, keys, by_owner.get(owner, set()) - direct)
    return kept, set[str]().union(*by_owner.values()) - kept


def _keys_kept_by(text: bytes, own: set[str], types: EventTypes) -> set[str]:
    """Return the keys that entries name, without those (`own`) that their component has released. An undeclared type keeps all."""
    named = _keys_in([text])
    if not named & own:
        return named
    return (named - own) | _keys_in(line for line in text.splitlines() if not _is_declared(line, types))


def _is_declared(line: bytes, types: EventTypes) -> bool:
    if is_too_deep(line):
        return False
    try:
        return msgspec.json.decode(line, type=_Typed).type in types
    except msgspec.DecodeError:  # damaged: `audit verify` reports it
        return False


def _reach(storage: Storage, vault: Vault | None, roots: set[str], keys: set[str], excluded: set[str]) -> set[str]:
    """Return `roots` and those of the blobs `keys` that they lead to, without following `excluded`."""
    reached: set[str] = set()
    pending = roots
    while pending:
        reached |= pending
        named = _concurrently(partial(_keys_in_blob, storage, vault), pending)
        pending = {key for names in named for key in names & keys} - reached - excluded
    return reached


def _keys_in(texts: Iterable[bytes]) -> set[str]:
    return {key_of(digest.decode()) for text in texts for digest in _DIGEST.findall(text)}


def _entry(storage: Storage, key: str) -> bytes:
    """Return an entry. If it was sealed since it was listed, return the segment that now holds it."""
    try:
        return storage.get(key)
    except NotFound:
        place = layout.parse(key)
        if place is None:
            raise
        return storage.get(layout.segment_key(place.stream, place.seq))


def _concurrently(read: Callable[[str], T], keys: Iterable[str]) -> Iterator[T]:
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(read, keys)


def _keys_in_blob(storage: Storage, vault: Vault | None, key: str) -> set[str]:
    """Return the keys that a JSON blob names, none for other blobs. Reads in pieces, so that the size does not matter."""
    try:
        if peek(storage, key, vault, 1) not in _JSON:
            return set()
        return _keys_in(_overlapping(pieces(storage, key, vault, _PIECE)))
    except NotFound:
        return set()


def _overlapping(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each part after the end of the previous one, so that a digest across their border is found."""
    end = b""
    for part in parts:
        text = end + part
        yield text
        end = text[-_OVERLAP:]


# -- deleting ----------------------------------------------------------------------------------------------------------------


def delete(storage: Storage, garbage: list[Entry], now: float) -> Iterator[Entry]:
    """Delete blobs; yield those deleted. Announces them to writers first: `BlobStore` stores again what it stored meanwhile."""
    for first in range(0, len(garbage), _BATCH):
        batch = garbage[first : first + _BATCH]
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
    """Complete the seals and segments that a crash left unfinished; return their streams."""
    smalls: dict[str, int] = {}
    for entry in storage.list(layout.ROOT):
        place = layout.parse(entry.key)
        if place and not place.is_segment:
            smalls[place.stream] = smalls.get(place.stream, 0) + 1
    return [name for name in smalls if ledger.stream(name).tidy()]
