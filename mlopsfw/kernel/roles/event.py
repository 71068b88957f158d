"""`Event`: one entry of the ledger, and what every observer receives."""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happened, as stored.

    Args:
        stream: The stream it belongs to, such as `run/01J…` or `model/delay`.
        seq: Position in that stream, from 1, without gaps.
        id: Random, 32 hex digits; tells our own entry from another's after an ambiguous write.
        type: What happened, dotted, in the past tense: `run.started`, `alias.moved`.
        time: When it was written, UTC, RFC 3339 with microseconds. For people: order is by `seq`.
        actor: Who did it: `user:01j…`, `token:…`, `ci:issuer/repo`, `plugin:observer.acme`; in old events `user@host`.
        body: The facts. Digests, counts, names and references; never rows, personal values or secrets.
        version: Version of the body's schema for this type; readers upcast older ones.
        epoch: The writer's fencing number within the stream (0 where nothing is fenced).
        prev: sha256 (hex) of the stored bytes of the entry before this one; empty for the first.
        final: Whether the stream ends with it; nothing is appended after a final entry.
    """

    stream: str
    seq: int
    id: str
    type: str
    time: str
    actor: str
    body: dict[str, Any]
    version: int = 1
    epoch: int = 0
    prev: str = ""
    final: bool = False
