"""`Texts`: free text, of people and of code that may quote values. Each is a blob under its author's own key; events hold the reference.

    text:<actor>/<digest of the blob>

Who is forgotten loses the key (`Actors.forget`), and with it every word, in every copy of the blobs. The chain of
events stays whole. A text is AES-256-GCM with a random nonce and the author as associated data, so equal texts have
different blobs and no blob can be passed off as another author's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from mlopsfw.governance.actors import Actors
from mlopsfw.kernel.base.errors import Corrupt, Erased, NotFound, WrongKey
from mlopsfw.kernel.events.registry import EventTypes, FieldPath, values_at
from mlopsfw.kernel.ledger.stream import Record
from mlopsfw.kernel.roles.event import Event
from mlopsfw.kernel.store.blobs import BlobStore

ERASED = "(erased)"
"""Stands for the words of an author who was forgotten."""
UNREADABLE = "(unreadable)"
"""Stands for words whose blob is lost, damaged or encrypted with a key that was not given."""

_REFERENCE = re.compile(r"text:((?:user|token|ci):[A-Za-z0-9._/-]+)/([0-9a-f]{64})")
_MAGIC = b"mlopsfw text\x01"
_NONCE, _TAG = 12, 16
_BESIDE = 8
_KEPT = 16  # texts whose references are remembered: an append that loses a race stores its words once


def is_reference(text: str) -> bool:
    """Return whether `text` is a reference to words."""
    return _REFERENCE.fullmatch(text) is not None


def blob_of(reference: str) -> str:
    """Return the digest of the blob that a reference leads to."""
    return reference.rpartition("/")[2]


class Texts:
    """The words of all authors.

    Args:
        blobs: Where they are kept.
        actors: Holds the authors' keys.
        types: Say where events hold words.
        author: Returns who writes now.
    """

    def __init__(self, blobs: BlobStore, actors: Actors, types: EventTypes, author: Callable[[], str]) -> None:
        self._blobs, self._actors, self._types, self._author = blobs, actors, types, author
        self._keep = lru_cache(_KEPT)(self._stored)
        self._own: tuple[str, bytes] | None = None  # the author and the key, once they are needed

    def put(self, text: str) -> str:
        """Keep `text` and return the reference; what is one already, or empty, is returned as it is."""
        if not text or is_reference(text):
            return text
        return self._keep(text)

    def _stored(self, text: str) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if self._own is None:
            author = self._author()
            self._own = author, self._actors.key(author)
        author, key = self._own
        nonce = os.urandom(_NONCE)
        sealed = AESGCM(key).encrypt(nonce, text.encode(errors="replace"), author.encode())
        return f"text:{author}/{self._blobs.put(_MAGIC + nonce + sealed)}"

    def seal(self, record: Record) -> dict[str, Any]:
        """Return the body of `record` with a reference in the place of all words."""
        body: Any = record.body()
        for path in self._types.text_paths(record.type):
            body = _changed(body, path, self.put)
        return dict(body)

    def references(self, event: Event) -> list[str]:
        """Return the references to words in an event."""
        paths = self._types.text_paths(event.type)
        return [text for path in paths for _, text in values_at(event.body, path) if is_reference(text)]

    def clear(self, events: Iterable[Event]) -> list[Event]:
        """Return events with their words in clear."""
        listed = list(events)
        words = self.read(text for event in listed for text in self.references(event))
        return [self._cleared(event, words) for event in listed] if words else listed

    def _cleared(self, event: Event, words: Mapping[str, str]) -> Event:
        body: Any = event.body
        for path in self._types.text_paths(event.type):
            body = _changed(body, path, lambda text: words.get(text, text))
        return msgspec.structs.replace(event, body=body)

    def get(self, text: str) -> str:
        """Return the words that a reference leads to. Other text, as older releases wrote it, is returned as it is."""
        return self.read([text])[text]

    def read(self, texts: Iterable[str]) -> dict[str, str]:
        """Return each of `texts` with the words that it leads to, fetched side by side."""
        found = {text: _REFERENCE.fullmatch(text) for text in texts}
        matches = [match for match in found.values() if match]
        keys = {actor: entry.key for actor, entry in self._actors.entries(match[1] for match in matches).items()}
        words = _beside(lambda match: self._open(match[1], match[2], keys.get(match[1], b"")), matches)
        resolved = {match[0]: text for match, text in zip(matches, words, strict=True)}
        return {text: resolved.get(text, text) for text in found}

    def _open(self, author: str, digest: str, key: bytes) -> str:
        if not key:
            return ERASED
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            nonce, sealed = _parts(self._blobs.get(digest))
            return AESGCM(key).decrypt(nonce, sealed, author.encode()).decode()
        except (Erased, InvalidTag):  # who was forgotten and writes again has another key
            return ERASED
        except (NotFound, Corrupt, WrongKey):
            return UNREADABLE


def _changed(value: Any, path: FieldPath, change: Callable[[str], str]) -> Any:
    """Return `value` with each text at the end of `path` changed."""
    if not path:
        return change(value) if isinstance(value, str) else value
    head, rest = path[0], path[1:]
    if head is None and isinstance(value, Mapping):
        return {name: _changed(each, rest, change) for name, each in value.items()}
    if head is None and isinstance(value, list | tuple):
        return [_changed(each, rest, change) for each in value]
    if head is not None and isinstance(value, Mapping) and head in value:
        return {**value, head: _changed(value[head], rest, change)}
    return value


def _parts(data: bytes) -> tuple[bytes, bytes]:
    """Return nonce and ciphertext of a blob. Raise `Corrupt` where it holds no words."""
    start = len(_MAGIC) + _NONCE
    if not data.startswith(_MAGIC) or len(data) < start + _TAG:
        raise Corrupt("a blob holds no words")
    return data[len(_MAGIC) : start], data[start:]


def _beside(read: Callable[[re.Match[str]], str], matches: list[re.Match[str]]) -> list[str]:
    if len(matches) <= 1:
        return [read(match) for match in matches]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_BESIDE) as pool:
        return list(pool.map(read, matches))
