"""Reading a stream on from a known point, exactly, while others append to it, seal it and delete its small entries.

What makes it exact: a window's segment is created before its first small entry is deleted. So if the segment is absent
*after* small entries were read, nothing had been deleted and they are all there is; if it is present, it is the truth
and they are not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from mlopsfw.kernel.base.errors import ChainBroken, NotFound
from mlopsfw.kernel.events.authority import is_foreign
from mlopsfw.kernel.ledger import codec, layout
from mlopsfw.kernel.ledger.layout import EntryKey
from mlopsfw.kernel.roles.event import Event
from mlopsfw.kernel.roles.storage import Storage

_NEAR = 4  # entries read one by one before it is known how far away the store is
_FAR = 0.002  # seconds a read; beyond it entries are read side by side
_BESIDE = 16


class Head(NamedTuple):
    """The newest entry known of a stream.

    Args:
        seq: Its sequence number; 0 where nothing is known.
        digest: Of its line; empty at 0.
        epoch: Its fencing number.
        final: Whether the stream ended with it.
    """

    seq: int = 0
    digest: str = ""
    epoch: int = 0
    final: bool = False


class Mirror(Protocol):
    """A copy of the ledger on this machine, as it was at one moment."""

    def streams(self, prefix: str) -> Iterable[str]:
        """Return the names of the streams that start with `prefix`, in ascending order."""

    def lines(self, stream: str) -> Iterable[bytes]:
        """Return the lines of a stream as stored, from the first; none for a stream that does not exist."""


def step(stream: str, head: Head, line: bytes) -> tuple[Event, Head]:
    """Return the event in `line` and the head after it. Raise `ChainBroken` where it does not follow `head`."""
    where = f"{stream} #{head.seq + 1}"
    event = codec.decode(line, where)
    if (event.stream, event.seq) != (stream, head.seq + 1):
        raise ChainBroken(
            f"{where} holds {event.stream} #{event.seq}", hint="Entries were moved; restore them from a copy."
        )
    if event.prev != head.digest:
        raise ChainBroken(f"{where} does not follow the entry before it", hint="Run `mlopsfw audit verify`.")
    if is_foreign(event):  # its writer could neither fence nor end the stream
        return event, Head(event.seq, codec.digest(line), head.epoch)
    return event, Head(event.seq, codec.digest(line), event.epoch, event.final)


class Reader:
    """Reads one stream; keeps nothing."""

    def __init__(self, storage: Storage, stream: str) -> None:
        self._storage, self._stream = storage, stream

    def after(self, head: Head) -> Iterator[tuple[Event, Head]]:
        """Yield each event after `head`, with the head that it makes.

        Raises:
            ChainBroken: An entry is altered, missing or moved, or `head` itself is not what is stored.
        """
        for _, event, following in self.entries(head):
            yield event, following

    def entries(self, head: Head) -> Iterator[tuple[bytes, Event, Head]]:
        """Yield what `after` does, each with its line as stored. Errors as for `after`."""
        while not head.final and (lines := self._window(head)):
            for line in lines:
                event, head = step(self._stream, head, line)
                yield line, event, head

    def last(self) -> Head:
        """Return a head near the newest, found by listing: enough to append at. `after` reads on from it."""
        smalls, segments = [0], [0]
        for place in self.entry_keys():
            (segments if place.is_segment else smalls).append(place.seq)
        if smalls[-1] and layout.first_of(smalls[-1]) > segments[-1]:
            lines = [line] if (line := self.get(layout.entry_key(self._stream, smalls[-1]))) else []
        else:
            lines = (self.segment(segments[-1]) or []) if segments[-1] else []
        if not lines:
            return Head()
        event = codec.decode(lines[-1], f"the newest entry of {self._stream}")
        if is_foreign(event):
            return Head()  # it does not tell the epoch: the stream is read from its beginning
        return Head(event.seq, codec.digest(lines[-1]), event.epoch, event.final)

    def entry_keys(self) -> Iterator[EntryKey]:
        """Yield the parsed keys of the stream, single entries first, in order."""
        for entry in self._storage.list(layout.folder(self._stream)):
            place = layout.parse(entry.key)
            if place and place.stream == self._stream:
                yield place

    def segment(self, seq: int) -> list[bytes] | None:
        """Return the lines of the segment that holds `seq`, or None where there is none."""
        data = self.get(layout.segment_key(self._stream, seq))
        if data is None:
            return None
        if not data.endswith(b"\n"):
            raise ChainBroken(f"the segment of {self._stream} with #{seq} is cut off", hint="Restore it from a copy.")
        return data[:-1].split(b"\n")

    def smalls(self, seq: int) -> list[bytes]:
        """Return the lines of the small entries from `seq` on, to the first gap or the end of its window."""
        lines: list[bytes] = []
        end = layout.first_of(seq) + layout.WINDOW
        began = time.monotonic()
        while seq + len(lines) < end:
            line = self.get(layout.entry_key(self._stream, seq + len(lines)))
            if line is None:
                break
            lines.append(line)
            if len(lines) == _NEAR and time.monotonic() - began > _NEAR * _FAR:
                return lines + self._beside(seq + _NEAR, end)
        return lines

    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None where there is none."""
        try:
            return self._storage.get(key)
        except NotFound:
            return None

    def _beside(self, seq: int, end: int) -> list[bytes]:
        from concurrent.futures import ThreadPoolExecutor  # costs a start-up what only a far store needs

        lines: list[bytes] = []
        with ThreadPoolExecutor(_BESIDE) as pool:
            for first in range(seq, end, _BESIDE * 2):
                numbers = range(first, min(first + _BESIDE * 2, end))
                for line in pool.map(self.get, [layout.entry_key(self._stream, number) for number in numbers]):
                    if line is None:
                        return lines
                    lines.append(line)
        return lines

    def _window(self, head: Head) -> list[bytes]:
        """Return what follows `head` in the window of its next entry."""
        seq = head.seq + 1
        at_start = seq == layout.first_of(seq)
        if at_start and (segment := self.segment(seq)):
            return self._sealed(segment, head)
        smalls = self.smalls(seq)
        segment = self.segment(seq)
        return smalls if segment is None else self._sealed(segment, head)

    def _sealed(self, lines: list[bytes], head: Head) -> list[bytes]:
        first = layout.first_of(head.seq + 1)
        passed = head.seq + 1 - first
        where = f"the segment of {self._stream} from #{first}"
        if len(lines) < layout.WINDOW and not codec.decode(lines[-1], f"the end of {where}").final:
            raise ChainBroken(f"{where} is cut off after {len(lines)} entries", hint="Restore it from a copy.")
        if passed and (len(lines) < passed or codec.digest(lines[passed - 1]) != head.digest):
            raise ChainBroken(f"{where} does not continue the entries read before", hint="Run `mlopsfw audit verify`.")
        return lines[passed:]
