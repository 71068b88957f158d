"""The audit: hash the whole ledger again and report faults. It only reads; it repairs nothing.

What is there is proven by the hashes. What is not there any more, or was written anew with hashes that fit, is found only by comparison with
a `Checkpoint` that was kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from mlopsfw.kernel.base.errors import ChainBroken, LedgerError, StorageError
from mlopsfw.kernel.events.authority import is_foreign
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import layout
from mlopsfw.kernel.ledger.layout import EntryKey
from mlopsfw.kernel.ledger.reader import Head, Reader
from mlopsfw.kernel.roles.storage import Storage
from mlopsfw.operations.checkpoint import Checkpoint, StreamHead


class StreamAudit(msgspec.Struct, frozen=True, kw_only=True):
    """The audit of one stream.

    Args:
        stream: Its name; empty for objects among the ledger's that belong to no stream.
        entries: The number of valid events that follow one another from the first.
        head: sha256 of the last of them. Keep it to detect later whether the stream was rewritten.
        sealed: Whether the stream has ended.
        problems: The faults; empty if the chain is intact and every event can be read.
        leftovers: Objects that a crash left behind and that do not count; `mlopsfw gc` removes them.
    """

    stream: str
    entries: int = 0
    head: str = ""
    sealed: bool = False
    problems: list[str] = []
    leftovers: list[str] = []


def audit(
    storage: Storage, prefix: str = "", types: EventTypes | None = None, checkpoint: Checkpoint | None = None
) -> Iterator[StreamAudit]:
    """Verify every stream whose name starts with `prefix`, from its first byte to its last.

    Args:
        storage: Where the ledger lies.
        prefix: How the names of the streams begin.
        types: The types of events, whose bodies are compared with their records; None verifies the chains alone.
        checkpoint: An earlier state of the ledger, which this one must extend.
    """
    kept = checkpoint.heads if checkpoint else {}
    parts: dict[str, list[EntryKey | str]] = {}
    for entry in storage.list(layout.ROOT + prefix):
        place = layout.parse(entry.key)
        parts.setdefault(place.stream if place else "", []).append(place or entry.key)
    for name, objects in sorted(parts.items()):
        keys = [found for found in objects if isinstance(found, EntryKey)]
        yield _audit_stream(storage, name, keys, types or EventTypes(), kept.get(name)) if name else _strangers(objects)
    for name in sorted(name for name in kept if name.startswith(prefix) and name not in parts):
        yield StreamAudit(
            stream=name, problems=[f"{name}: the whole stream was there at the checkpoint, and is missing"]
        )


def checkpoint_of(streams: Iterable[StreamAudit], project: str, time: str) -> Checkpoint:
    """Return the checkpoint of audited streams. Raise `ChainBroken` for a fault: what is broken must not become the measure."""
    heads: dict[str, StreamHead] = {}
    for stream in streams:
        if stream.problems:
            raise ChainBroken(
                stream.problems[0],
                hint="`mlopsfw audit verify` lists all faults. Restore the named objects from a copy.",
            )
        heads[stream.stream] = StreamHead(stream.entries, stream.head)
    return Checkpoint(project=project, time=time, heads=heads)


def _strangers(keys: list[EntryKey | str]) -> StreamAudit:
    return StreamAudit(stream="", problems=[f"{key} belongs to no stream" for key in keys])


def _audit_stream(
    storage: Storage, name: str, keys: list[EntryKey], types: EventTypes, kept: StreamHead | None
) -> StreamAudit:
    head, problems, malformed = _walk(storage, name, types, kept)
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
        problems=[*problems, *malformed],
        leftovers=[layout.entry_key(name, seq) for seq in stale],
    )


def _walk(storage: Storage, name: str, types: EventTypes, kept: StreamHead | None) -> tuple[Head, list[str], list[str]]:
    """Return the last head that follows from the first entry, the chain's faults up to there, and those of bodies."""
    head, problems, malformed = Head(), list[str](), list[str]()
    try:
        for event, following in Reader(storage, name).after(head):
            head = following
            if kept and head.seq == kept.seq and head.digest != kept.digest:
                problems.append(f"{name} #{head.seq} is not the event of the checkpoint: the stream was rewritten")
            if is_foreign(event):
                problems.append(f"{name} #{event.seq}: {event.type} by {event.actor} does not belong there")
            elif fault := types.fault(event):
                malformed.append(fault)
    except (LedgerError, StorageError) as error:
        problems.append(error.message)
    if kept and head.seq < kept.seq and not problems:
        problems.append(f"{name} ends with #{head.seq}, and had #{kept.seq} at the checkpoint: its tail was cut")
    return head, problems, malformed
