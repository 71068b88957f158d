"""`Actors`: the directory of who acts. The ledger holds opaque ids; their names lie here, where they can be rewritten.

    actors/user/01j…            one entry (`Entry`) per actor
    actors/names/<sha256>       which actor a name stands for: the first one that took it

An entry is made before the name that leads to it, both by `put_if_absent`: of two machines that begin with one name at
the same moment, one makes the actor and the other takes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256

import msgspec

from mlopsfw.kernel.base.clock import rfc3339
from mlopsfw.kernel.base.errors import Corrupt, NotFound, UnknownName, UsageError
from mlopsfw.kernel.base.ids import new_run_id
from mlopsfw.kernel.roles.host import Clock
from mlopsfw.kernel.roles.storage import Storage

ROOT = "actors/"
NAMES = f"{ROOT}names/"
_WORD = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
_ACTOR = re.compile(rf"user:[0-9a-z]{{26}}|(?:token|ci):{_WORD}(?:/{_WORD}){{0,5}}")
_KIND = re.compile(r"(?:user|token|ci):")
_LONGEST = 200
_BESIDE = 8


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the directory says of one actor.

    Args:
        name: For people; empty where nobody gave one, or the actor was forgotten.
        key: Encrypts the actor's words (`mlopsfw.governance.texts`); empty where the actor was forgotten.
        created: When the entry was made, RFC 3339.
    """

    name: str = ""
    key: bytes = b""
    created: str = ""


def is_actor(text: str) -> bool:
    """Return whether `text` is an id that the directory can have an entry for: of a person, a token or a CI job."""
    return _ACTOR.fullmatch(text) is not None


def check_person_name(name: str) -> str:
    """Return `name` if a person can be called so. Raise `UsageError`."""
    if not name.strip() or len(name) > _LONGEST or not name.isprintable():
        raise UsageError(f"{name!r} is no name", hint=f"Give one line of at most {_LONGEST} characters.")
    if _KIND.match(name):
        raise UsageError(
            f"{name!r} looks like an actor's id, and is none",
            hint="An id is user:<26 letters and digits>, token:NAME or ci:ISSUER/REPO; see `mlopsfw audit actors`.",
        )
    return name


class Actors:
    """The directory of one storage.

    Args:
        storage: Where it is kept.
        clock: Stamps new entries.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage, self._clock = storage, clock

    def join(self, name: str) -> str:
        """Return the actor that `name` stands for; who is new gets an id, an entry and a key."""
        claim = _claim(name)
        while (known := self._read(claim)) is None:
            actor = f"user:{new_run_id()}"
            self._make(actor, name)
            if self._storage.put_if_absent(claim, actor.encode()) or self._read(claim) == actor.encode():
                return actor
            self._storage.delete(_key_of(actor))  # another was first
        return known.decode()

    def get(self, actor: str) -> Entry | None:
        """Return an actor's entry, or None where there is none."""
        data = self._read(_key_of(actor))
        return None if data is None else _decoded(actor, data)

    def all(self) -> dict[str, Entry]:
        """Return every entry by its actor's id."""
        listed = [entry.key for entry in self._storage.list(ROOT) if not entry.key.startswith(NAMES)]
        return self.entries([key.removeprefix(ROOT).replace("/", ":", 1) for key in listed])

    def entries(self, actors: Iterable[str]) -> dict[str, Entry]:
        """Return the entries of those of `actors` that have one, fetched side by side."""
        wanted = list(dict.fromkeys(actors))
        found = zip(wanted, self._read_all([_key_of(actor) for actor in wanted]), strict=True)
        return {actor: _decoded(actor, data) for actor, data in found if data is not None}

    def names(self, actors: Iterable[str]) -> dict[str, str]:
        """Return each of `actors` with its name: what has none, or is of another form, stands for itself."""
        wanted = dict.fromkeys(actors)
        entries = self.entries(filter(is_actor, wanted))
        return {actor: (entries[actor].name if actor in entries else "") or actor for actor in wanted}

    def key(self, actor: str) -> bytes:
        """Return the key of an actor's words, made where there is none.

        Who was forgotten and writes again has another key; the old one is gone.
        """
        entry = self._made(actor)
        if not entry.key:
            self._put(actor, msgspec.structs.replace(entry, key=os.urandom(32)))
            entry = self._made(actor)  # another process may have done the same; the later key holds
        return entry.key

    def rename(self, actor: str, name: str) -> None:
        """Give an actor another name. The old name goes on to lead to it. Raise `UnknownName`."""
        check_person_name(name)
        self._put(actor, msgspec.structs.replace(self.require(actor), name=name))
        self._storage.put_if_absent(_claim(name), actor.encode())

    def forget(self, actor: str) -> None:
        """Drop an actor's name and key, and every name that leads to it. Raise `UnknownName`."""
        entry = self.require(actor)
        for claim, leads_to in self._claims():
            if leads_to == actor:
                self._storage.delete(claim)
        self._put(actor, Entry(created=entry.created))

    def require(self, actor: str) -> Entry:
        """Return an actor's entry. Tokens and CI jobs get one where they have none. Raise `UnknownName`."""
        entry = self.get(actor) if is_actor(actor) else None
        if entry is None and (actor.startswith("user:") or not is_actor(actor)):
            raise UnknownName(f"there is no actor {actor!r}", hint="`mlopsfw audit actors` lists those there are.")
        return entry or self._made(actor)

    def named(self) -> set[str]:
        """Return the actors that some name leads to."""
        return {actor for _, actor in self._claims()}

    def _claims(self) -> Iterator[tuple[str, str]]:
        """Yield the key of each name with the actor that it leads to."""
        keys = [entry.key for entry in self._storage.list(NAMES)]
        for key, actor in zip(keys, self._read_all(keys), strict=True):
            if actor is not None:
                yield key, actor.decode()

    def _made(self, actor: str) -> Entry:
        """Return an actor's entry, made where there is none."""
        entry = self.get(actor)
        if entry is None:
            self._make(actor, "")
            entry = self.get(actor)
        return entry or Entry()

    def _make(self, actor: str, name: str) -> None:
        entry = Entry(name=name, key=os.urandom(32), created=rfc3339(self._clock.now()))
        self._storage.put_if_absent(_key_of(actor), msgspec.json.encode(entry))

    def _put(self, actor: str, entry: Entry) -> None:
        self._storage.put(_key_of(actor), msgspec.json.encode(entry))

    def _read_all(self, keys: list[str]) -> list[bytes | None]:
        if len(keys) <= 1:
            return [self._read(key) for key in keys]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_BESIDE) as pool:
            return list(pool.map(self._read, keys))

    def _read(self, key: str) -> bytes | None:
        try:
            return self._storage.get(key)
        except NotFound:
            return None


def _decoded(actor: str, data: bytes) -> Entry:
    try:
        return msgspec.json.decode(data, type=Entry)
    except msgspec.DecodeError as error:
        raise Corrupt(
            f"the directory's entry of {actor} cannot be read: {error}", hint=f"Restore {_key_of(actor)} from a copy."
        ) from None


def _key_of(actor: str) -> str:
    return f"{ROOT}{actor.replace(':', '/', 1)}"


def _claim(name: str) -> str:
    return f"{NAMES}{sha256(name.encode()).hexdigest()}"
