"""`Stream`: one chain of events, appended to optimistically. The one primitive under runs, aliases, leases, outboxes.

An append that must rest on all events so far names the newest in `expecting`. After a `Conflict` its owner reads on and
decides anew. What the events mean is the owner's business.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from mlopsfw.kernel.base.clock import rfc3339
from mlopsfw.kernel.base.errors import ChainBroken, Conflict, Fenced, StorageError, StorageUnavailable, StreamSealed
from mlopsfw.kernel.base.ids import new_event_id
from mlopsfw.kernel.events import authority
from mlopsfw.kernel.events.lease import Takeover
from mlopsfw.kernel.events.record import EventRecord, PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import codec, layout
from mlopsfw.kernel.ledger.reader import Head, Mirror, Reader, step
from mlopsfw.kernel.roles.event import Event
from mlopsfw.kernel.roles.host import Clock
from mlopsfw.kernel.roles.storage import Storage

Record = EventRecord | PlainRecord

_LOST = 1000  # races lost in a row before something else must be wrong


class Stream:
    """One stream of a ledger; may be shared by threads.

    Args:
        storage, actor, clock, types, seal, on_append: Those of the `Ledger`.
        name: Its name, such as `run/01j…`.
        mirror: Returns the copy that `events` reads now, or None.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        *,
        actor: Callable[[], str],
        clock: Clock,
        types: EventTypes,
        seal: Callable[[Record], dict[str, Any]],
        on_append: Callable[[Event], None] | None,
        mirror: Callable[[], Mirror | None],
    ) -> None:
        self.name, self._types = layout.check_stream(name), types
        self._storage, self._actor, self._clock, self._on_append = storage, actor, clock, on_append
        self._mirror, self._seal = mirror, seal
        self._reader = Reader(storage, name)
        self._lock = threading.RLock()
        self._head = Head()
        self._events: list[Event] = []  # every event up to the head, unless only the head was looked for

    # -- reading -------------------------------------------------------------------------------------------------------

    def events(self, after: int = 0) -> Iterator[Event]:
        """Return the events so far whose number is above `after`, in order.

        Raises:
            ChainBroken: An entry is altered, missing or moved.
            NewerVersion: An entry was written by a newer mlopsfw.
        """
        with self._lock:
            mirror = self._mirror()
            self._load() if mirror is None else self._load_from(mirror)
            return iter(self._events[after:])

    def head(self) -> int:
        """Return the number of the newest event; 0 for a stream that does not exist."""
        with self._lock:
            self._find_head()
            self._read_on()
            return self._head.seq

    # -- appending -----------------------------------------------------------------------------------------------------

    def append(
        self, record: Record, *, expecting: int | None = None, epoch: int | None = None, plugin: str = ""
    ) -> Event:
        """Append an event at the next number and return it as stored; when this returns it is durable.

        Args:
            record: What happened.
            expecting: The number that the newest event must have; 0 begins a new stream without reading first.
            epoch: The writer's fencing number; None takes the stream's own.
            plugin: The plugin that appends it, such as `observer.acme`; empty for the kernel, which acts for a person.

        Raises:
            Conflict: The newest event is not `expecting`.
            StreamSealed: The stream has ended.
            Fenced: The stream is in another epoch than `epoch`.
            PluginError: The stream, or the type, is not the plugin's; or it is a plugin's, and none is named.
        """
        return self._append(record, expecting=expecting, epoch=epoch, plugin=plugin)

    def seal(self, record: Record, *, expecting: int | None = None, epoch: int | None = None) -> Event:
        """Append the stream's last event, then gather its entries into one object.

        Arguments and errors as for `append`.
        """
        return self._append(record, expecting=expecting, epoch=epoch, final=True)

    def takeover(self, *, expecting: int, record: Takeover | None = None) -> int:
        """Begin a new epoch, fencing off every writer of the older ones; return its number.

        Args:
            expecting: The number of the newest event when the other was found dead; `Conflict` where it has moved
                since.
            record: Facts to record, such as why.
        """
        return self._append(record or Takeover(), expecting=expecting, further=1).epoch

    def tidy(self) -> bool:
        """Write the segments that a crash left out, of whole windows and of the end; return whether there was any."""
        with self._lock:
            self._find_head()
            self._read_on()
            end = self._head.seq if self._head.final else self._head.seq // layout.WINDOW * layout.WINDOW
            smalls = {layout.first_of(place.seq) for place in self._reader.entry_keys() if not place.is_segment}
            unfinished = sorted(first for first in smalls if first <= end)
            for first in unfinished:
                self._gather(min(first + layout.WINDOW - 1, end))
            return bool(unfinished)

    # -- how -----------------------------------------------------------------------------------------------------------

    def _append(
        self,
        record: Record,
        *,
        expecting: int | None = None,
        epoch: int | None = None,
        final: bool = False,
        further: int = 0,
        plugin: str = "",
    ) -> Event:
        with self._lock:
            if expecting != 0:
                self._find_head()  # what is stale is found out by losing the race
            for _ in range(_LOST):
                self._admit(expecting, epoch)
                authority.check(plugin, self.name, record.type)
                draft = self._draft(record, self._head.epoch + further, final=final, plugin=plugin)
                event = self._place(draft)
                if event is not None:
                    break
                self._read_on()
            else:
                raise Conflict(f"{self.name}: another writer came first {_LOST} times", hint="Try again.")
        if self._on_append is not None:
            self._on_append(event)
        return event

    def _admit(self, expecting: int | None, epoch: int | None) -> None:
        """Refuse what cannot be appended; read on where only older news stands in the way."""
        if (expecting is not None and expecting > self._head.seq) or (epoch is not None and epoch > self._head.epoch):
            self._find_head()
            self._read_on()
        head = self._head
        if head.final:
            raise StreamSealed(f"{self.name} has ended with #{head.seq}", hint="You cannot add to it. Start a new one.")
        if epoch is not None and epoch != head.epoch:
            raise Fenced(
                f"{self.name} is in epoch {head.epoch}, this writer is of epoch {epoch}",
                hint="Stop: another writer has taken over.",
            )
        if expecting is not None and expecting != head.seq:
            raise Conflict(
                f"{self.name} is at #{head.seq}, not #{expecting}", hint="Read the stream again, and decide again."
            )

    def _draft(self, record: Record, epoch: int, *, final: bool, plugin: str) -> Event:
        return Event(
            stream=self.name,
            seq=self._head.seq + 1,
            id=new_event_id(),
            type=record.type,
            time=rfc3339(self._clock.now()),
            actor=authority.actor_of(plugin) if plugin else self._actor(),
            body=self._seal(record),
            version=record.schema,
            epoch=epoch,
            prev=self._head.digest,
            final=final,
        )

    def _place(self, draft: Event) -> Event | None:
        """Store the draft at its number; return the event as it reads back, or None where another was first."""
        line = codec.encode(draft)
        if not (self._put(draft.seq, line) and self._counts(draft.seq, line)):
            return None
        event = codec.decode(line, self.name)
        if self._head.seq == len(self._events):
            self._events.append(event)
        self._head = Head(event.seq, codec.digest(line), event.epoch, event.final)
        if event.final or event.seq % layout.WINDOW == 0:
            with suppress(StorageError):  # the event is safe; `tidy` does what is left
                self._gather(event.seq)
        return event

    def _put(self, seq: int, line: bytes) -> bool:
        """Return whether our line lies at `seq`. After an ambiguous answer the random id in it says whose it is."""
        key = layout.entry_key(self.name, seq)
        try:
            return self._storage.put_if_absent(key, line) or self._reader.get(key) == line
        except StorageUnavailable:
            if self._reader.get(key) == line:
                return True
            raise

    def _counts(self, seq: int, line: bytes) -> bool:
        """Return whether our entry counts: it does not where the number was free only because its window is sealed."""
        segment = self._reader.segment(seq)
        if segment is None or line in segment:
            return True
        self._storage.delete(layout.entry_key(self.name, seq))
        return False

    def _gather(self, seq: int) -> None:
        """Write the segment that ends with `seq`, then delete its small entries."""
        first = layout.first_of(seq)
        if self._reader.segment(seq) is None:
            lines = self._reader.smalls(first)
            if len(lines) != seq + 1 - first:  # another is at it: its segment exists, since its deletions have begun
                return
            self._storage.put_if_absent(layout.segment_key(self.name, seq), b"\n".join(lines) + b"\n")
        for number in range(first, seq + 1):
            self._storage.delete(layout.entry_key(self.name, number))

    def _find_head(self) -> None:
        """Learn where the stream ends, where nothing is known of it yet, without reading it all."""
        if self._head.seq == 0:
            self._head = self._reader.last()
            self._read_on()

    def _load(self) -> None:
        """Know every event up to now."""
        if self._head.seq != len(self._events):
            self._forget()
        self._read_on()

    def _load_from(self, mirror: Mirror) -> None:
        """Know every event that the copy holds, or more."""
        if self._head.seq != len(self._events):
            self._forget()
        try:
            for line in itertools.islice(mirror.lines(self.name), self._head.seq, None):
                self._take(*step(self.name, self._head, line))
        except ChainBroken:  # the copy is damaged: the store is the truth
            self._load()

    def _read_on(self) -> None:
        """Follow the stream from the known head to its end."""
        try:
            self._follow()
        except ChainBroken:
            if self._head.seq == 0:
                raise
            self._forget()  # what we held may never have counted; the stream itself says so, or is broken
            self._follow()

    def _follow(self) -> None:
        for event, head in self._reader.after(self._head):
            self._take(event, head)

    def _take(self, event: Event, head: Head) -> None:
        if self._head.seq == len(self._events):
            self._events.append(self._types.upcast(authority.believed(event, head.epoch)))
        self._head = head

    def _forget(self) -> None:
        self._head = Head()
        self._events.clear()
