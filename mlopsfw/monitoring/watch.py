"""Watching: examine each window as soon as it is over, one watcher at a time, for as long as the lease is ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from mlopsfw.capture.times import micros
from mlopsfw.errors import Fenced, NotFound
from mlopsfw.ledger.lease import Lease
from mlopsfw.monitoring import Examined, examine
from mlopsfw.monitoring.windows import later, opening, span

if TYPE_CHECKING:
    from mlopsfw.project import Project

_BEAT = 5.0  # seconds between looks at the clock, renewals of the lease and passes over the outbox


def watch(
    project: Project,
    endpoint: str,
    every: timedelta,
    *,
    delay: timedelta = timedelta(0),
    zone: tzinfo = UTC,
    stop: threading.Event | None = None,
    report: Callable[[Examined], None] = lambda _: None,
    beat: float = _BEAT,
) -> None:
    """Examine window after window of length `every`, `delay` after each is over, until `stop` is set.

    Goes on where the last watcher left off, and catches up. Several may run: the others wait for the lease. Days are those of `zone`.

    Raises:
        Exception: What a monitor raised. Somebody is told first: a watch that ends in silence looks like calm.
        Fenced: Another watcher took over, since this one stood still for longer than the lease allows.
    """
    stop = stop or threading.Event()
    lease = Lease(project.ledger.stream(f"lease/monitor/{endpoint}"), project.actor, project.clock, patience=6 * beat)
    watcher = _Watcher(project, endpoint, every, delay, zone)
    while not stop.is_set():
        if lease.acquire() is not None:
            lease.renew()
            project.alerts.pump()
            watcher.look(lease, stop, report)
        stop.wait(beat)
    if lease.epoch is not None:
        lease.release()


@dataclass(frozen=True)
class _Watcher:
    """What `watch` was asked for, and one look at it."""

    project: Project
    endpoint: str
    every: timedelta
    delay: timedelta
    zone: tzinfo

    def look(self, lease: Lease, stop: threading.Event, report: Callable[[Examined], None]) -> None:
        """Examine what is over; deliver what that raised, and tell somebody if it could not be done."""
        group = f"{self.endpoint}/watch"
        try:
            for examined in self._catch_up(lease, stop):
                report(examined)
                self.project.alerts.resolve(group, "Monitoring goes on.")
        except Fenced:
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}\nTo go on: mlopsfw monitor watch {self.endpoint}"
            self.project.alerts.raise_(group, "critical", f"{self.endpoint}: monitoring has stopped", text)
            raise
        finally:
            self.project.alerts.pump()

    def _catch_up(self, lease: Lease, stop: threading.Event) -> Iterator[Examined]:
        try:
            start = self._next()
        except NotFound:
            return  # nothing was captured yet
        stream = self.project.ledger.stream(f"monitor/{self.endpoint}")
        now = datetime.fromtimestamp(self.project.clock.now(), UTC)
        while not stop.is_set() and (end := later(start, self.every, self.zone)).astimezone(UTC) + self.delay <= now:
            yield from examine(self.project, self.endpoint, start, end)
            stream.append("watch.passed", {"until": end.isoformat()})  # said also of a window without a row
            lease.renew()  # catching up with a year must not look like death
            start = end

    def _next(self) -> datetime:
        """Return where the next window begins: where the last one ended, or where the day of the first prediction does."""
        events = self.project.ledger.stream(f"monitor/{self.endpoint}").events()
        passed = [event for event in events if event.type == "watch.passed"]
        if passed:
            return datetime.fromtimestamp(micros(passed[-1].body["until"]) / 1e6, UTC).astimezone(self.zone)
        return opening(span(self.project, self.endpoint)[0], self.every, self.zone)
