"""Telling the living from the dead: `Watch` sees whether a stream still moves, `Lease` keeps one holder at a time.

Both rest on the observer's own monotonic clock and on optimistic appends. Stamps in events are never compared: clocks
jump.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlopsfw.kernel.base.errors import Conflict, Fenced
from mlopsfw.kernel.events.lease import LEASE_EVENTS, LeaseReleased, LeaseRenewed, Takeover
from mlopsfw.kernel.events.record import EventRecord
from mlopsfw.kernel.ledger.stream import Stream
from mlopsfw.kernel.roles.event import Event
from mlopsfw.kernel.roles.host import Clock

_LEASE_TYPES = tuple(record.type for record in LEASE_EVENTS)


class Watch:
    """Watches one stream, such as a run's with its heartbeats.

    Args:
        stream: The stream.
        clock: The observer's.
    """

    def __init__(self, stream: Stream, clock: Clock) -> None:
        self._stream, self._clock = stream, clock
        self.seq = stream.head()
        self._since = clock.monotonic()

    def idle(self) -> float:
        """Return for how many seconds, as far as this observer knows, nothing has been appended."""
        head, now = self._stream.head(), self._clock.monotonic()
        if head != self.seq:
            self.seq, self._since = head, now
        return now - self._since

    def takeover(self, patience: float, record: Takeover | None = None) -> int | None:
        """Take the stream over if it has stood still for `patience` seconds; return the new epoch, or None.

        Of several observers one succeeds; to the others the stream has moved.
        """
        return _takeover(self._stream, self.seq, record) if self.idle() >= patience else None


class Lease:
    """The right to be the only one: a loop, an endpoint's supervisor. Holding it is an epoch of its stream.

    Args:
        stream: The lease's own stream.
        holder: Who asks, for people.
        clock: The asker's.
        patience: Seconds without a renewal after which a holder counts as dead. Renew at least three times as often.
    """

    def __init__(self, stream: Stream, holder: str, clock: Clock, *, patience: float) -> None:
        self._stream, self._holder, self._clock, self._patience = stream, holder, clock, patience
        self._watch: Watch | None = None
        self.epoch: int | None = None

    def acquire(self) -> int | None:
        """Return the epoch if the lease is ours now, None while another holds it. Ask again with this same object."""
        if self.epoch is None:
            watch = self._watch = self._watch or Watch(self._stream, self._clock)
            events, record = list(self._stream.events()), Takeover(holder=self._holder)
            if _is_free(events):
                self.epoch = _takeover(self._stream, events[-1].seq if events else 0, record)
            else:
                self.epoch = watch.takeover(self._patience, record)
        return self.epoch

    def renew(self) -> None:
        """Say that we are alive. Raise `Fenced` where another has taken over: stop acting at once."""
        self._append(LeaseRenewed())

    def release(self) -> None:
        """Let others in without a wait; nothing happens where another has taken over already."""
        try:
            self._append(LeaseReleased())
        except Fenced:
            return
        finally:
            self.epoch = self._watch = None

    def _append(self, record: EventRecord) -> None:
        if self.epoch is None:
            raise Fenced(f"{self._holder} does not hold {self._stream.name}", hint="Acquire it first.")
        self._stream.append(record, epoch=self.epoch)


def _takeover(stream: Stream, expecting: int, record: Takeover | None) -> int | None:
    """Return the new epoch, or None where something was appended after the event that we decided on."""
    try:
        return stream.takeover(expecting=expecting, record=record)
    except Conflict:
        return None


def _is_free(events: Sequence[Event]) -> bool:
    types = [event.type for event in events if event.type in _LEASE_TYPES]
    return not types or types[-1] == LeaseReleased.type
