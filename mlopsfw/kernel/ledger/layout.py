"""Which key an entry lies under. Nothing here reads or writes.

    ledger/<stream>/0000000001.json             one entry
    ledger/<stream>/segment-0000000001.jsonl    entries 1 to 1000, fewer at the end: the same bytes, one a line

A window is the 1,000 sequence numbers that one segment holds. Once a window has its segment, its small entries no
longer count.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mlopsfw.kernel.base.errors import UsageError

ROOT = "ledger/"
WINDOW = 1000
RESERVED = "env"
"""No kind of stream: `env/<name>/` will stand before the kind once environments have streams of their own."""

_STREAM = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}(?:/[a-z0-9][a-z0-9._-]{0,99}){0,3}")
_OBJECT = re.compile(r"ledger/(?P<stream>.+)/(?:(?P<entry>\d{10})\.json|segment-(?P<segment>\d{10})\.jsonl)")


class EntryKey(NamedTuple):
    """A parsed key of the ledger: of one entry, or of the segment whose first entry is `seq`."""

    stream: str
    seq: int
    is_segment: bool


def check_stream(name: str) -> str:
    """Return `name` if it can name a stream, else raise `UsageError`."""
    if name.partition("/")[0] == RESERVED:
        raise UsageError(f"{name!r} is not the name of a stream: {RESERVED}/ is kept for environments")
    if _STREAM.fullmatch(name) and not _OBJECT.fullmatch(f"{ROOT}x/{name.rpartition('/')[2]}"):
        return name
    raise UsageError(f"{name!r} is not the name of a stream", hint="Write kind/name, such as model/delay.")


def folder(stream: str) -> str:
    """Return the prefix of all keys of a stream."""
    return f"{ROOT}{stream}/"


def entry_key(stream: str, seq: int) -> str:
    """Return the key of one entry."""
    return f"{ROOT}{stream}/{seq:010d}.json"


def first_of(seq: int) -> int:
    """Return the first sequence number of the window that holds `seq`."""
    return (seq - 1) // WINDOW * WINDOW + 1


def segment_key(stream: str, seq: int) -> str:
    """Return the key of the segment that holds, or will hold, `seq`."""
    return f"{ROOT}{stream}/segment-{first_of(seq):010d}.jsonl"


def parse(key: str) -> EntryKey | None:
    """Return what `key` stands for, or None where it is not the ledger's."""
    match = _OBJECT.fullmatch(key)
    if match is None:
        return None
    return EntryKey(match["stream"], int(match["entry"] or match["segment"]), match["segment"] is not None)
