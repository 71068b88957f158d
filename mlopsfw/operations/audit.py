"""The audit: hash the whole ledger again and report faults. It only reads; it repairs nothing."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mlopsfw.kernel.base.errors import LedgerError, StorageError
from mlopsfw.kernel.events.authority import is_foreign
from mlopsfw.kernel.ledger import layout
from mlopsfw.kernel.ledger.layout import EntryKey
from mlopsfw.kernel.ledger.reader import Head, Reader
from mlopsfw.kernel.roles.storage import Storage


class StreamAudit(msgspec.Struct, frozen=True, kw_only=True):
    """The audit of one stream.

    Args:
        stream: Its name; empty for objects among the ledger's that belong to no stream.
        entries: The number of valid events that follow one another from the first.
        head: sha256 of the last of them. Keep it to detect later whether the stream was rewritten.
        sealed: Whether the stream has ended.
        problems: The faults; empty if the chain is intact.
        leftovers: Objects that a crash left behind and that do not count; `mlopsfw gc` removes them.
    """

    stream: str
    entries: int = 0
    head: str = ""
    sealed: bool = False
    problems: list[str] = []
    leftovers: list[str] = []


def audit(storage: Storage, prefix: str = "") -> Iterator[StreamAudit]:
    """Verify every stream whose name starts with `prefix`, from its first byte to its last."""
    parts: dict[str, list[EntryKey | str]] = {}
    for entry in storage.list(layout.ROOT + prefix):
        place = layout.parse(entry.key)
        parts.setdefault(place.stream if place else "", []).append(place or entry.key)
    for name, objects in sorted(parts.items()):
        keys = [found for found in objects if isinstance(found, EntryKey)]
        yield _audit_stream(storage, name, keys) if name else _strangers(objects)


def _strangers(keys: list[EntryKey | str]) -> StreamAudit:
    return StreamAudit(stream="", problems=[f"{key} belongs to no stream" for key in keys])


def _audit_stream(storage: Storage, name: str, keys: list[EntryKey]) -> StreamAudit:
    head, problems = _walk(storage, name)
    if not problems:
        beyond = [place.seq for place in keys if place.seq > head.seq]
        problems += [f"{name} #{seq} lies beyond the end, #{head.seq}: entries are missing between" for seq in beyond]
    segments = {place.seq for place in keys if place.is_segment}
    stale = [place.seq for place in keys if not place.is_segment and layout.first_of(place.seq) in segments]
    return StreamAudit(
        stream=name,
        entries=head.seq,
        head=head.digest,
        sealed=head.final,
        problems=problems,
        leftovers=[layout.entry_key(name, seq) for seq in stale],
    )


def _walk(storage: Storage, name: str) -> tuple[Head, list[str]]:
    """Return the last head that follows from the first entry, and the faults up to there."""
    head, problems = Head(), []
    try:
        for event, following in Reader(storage, name).after(head):
            head = following
            if is_foreign(event):
                problems.append(f"{name} #{event.seq}: {event.type} by {event.actor} does not belong there")
    except (LedgerError, StorageError) as error:
        problems.append(error.message)
    return head, problems
