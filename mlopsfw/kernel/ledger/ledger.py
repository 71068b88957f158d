"""`Ledger`: opens streams on a storage and says which there are."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.ledger import layout
from mlopsfw.kernel.ledger.stream import Record, Stream

if TYPE_CHECKING:
    from mlopsfw.kernel.events.registry import EventTypes
    from mlopsfw.kernel.ledger.reader import Mirror
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.roles.host import Clock
    from mlopsfw.kernel.roles.storage import Storage

_KEPT = 64  # streams whose events are kept in memory


class Ledger:
    """Everything that happened in a project.

    Args:
        storage: Where it is kept.
        actor: Returns who appends; asked once something is appended.
        clock: Stamps the events; their order is by number.
        types: The event types, by which bodies of earlier releases are read.
        seal: Returns the body of a record as it is stored: without words of people.
        on_append: Told of each event appended through this object, after it is durable.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        actor: Callable[[], str],
        clock: Clock,
        types: EventTypes,
        seal: Callable[[Record], dict[str, Any]] = methodcaller("body"),
        on_append: Callable[[Event], None] | None = None,
    ) -> None:
        self.storage, self.types = storage, types
        self._on_append = on_append
        self._mirror: Mirror | None = None
        stream = partial(Stream, storage, actor=actor, clock=clock, types=types, seal=seal, on_append=on_append)
        self._make = partial(stream, mirror=lambda: self._mirror)
        self._open: OrderedDict[str, Stream] = OrderedDict()
        self._lock = threading.Lock()

    def stream(self, name: str) -> Stream:
        """Return the stream `name`, which need not exist yet; the recently used ones are kept with what they know."""
        with self._lock:
            stream = self._open.get(name)
            if stream is None:
                stream = self._open[name] = self._make(name)
                if len(self._open) > _KEPT:
                    self._open.popitem(last=False)
            self._open.move_to_end(name)
            return stream

    def announce(self, stream: str, seq: int) -> None:
        """Tell of an event that another process appended, as of each event that is appended through this object."""
        if self._on_append is not None:
            for event in itertools.islice(self.stream(stream).events(seq - 1), 1):
                self._on_append(event)

    def streams(self, prefix: str = "") -> Iterator[str]:
        """Yield the names of the streams that start with `prefix`, in ascending order."""
        if self._mirror is not None:
            yield from self._mirror.streams(prefix)
            return
        last = ""
        for entry in self.storage.list(layout.ROOT + prefix):
            place = layout.parse(entry.key)
            if place and place.stream != last:
                last = place.stream
                yield last

    @contextmanager
    def reading_from(self, mirror: Mirror) -> Iterator[None]:
        """Within the block, streams and their events are those of `mirror`; the store is not asked.

        Appends go to the store as ever, and decide upon what it holds.
        """
        before, self._mirror = self._mirror, mirror
        try:
            yield
        finally:
            self._mirror = before
