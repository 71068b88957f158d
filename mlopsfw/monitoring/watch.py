"""Watching: examine each window once it is over, and again as its labels come; one watcher at a time, while the lease is ours."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from mlopsfw.capturelog.times import event_micros
from mlopsfw.kernel.base.errors import DataError, Fenced
from mlopsfw.kernel.ledger.lease import Lease
from mlopsfw.monitoring.events import LookRecord, WatchBegun, WatchLooked, WatchPassed
from mlopsfw.monitoring.looks import LOOKS, Looked, fold
from mlopsfw.monitoring.window_bounds import check_length, holding, later, stamp
from mlopsfw.monitoring.windows import aside_sentence

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts
    from mlopsfw.kernel.ledger.stream import Stream
    from mlopsfw.kernel.services import Services
    from mlopsfw.monitoring.examination import Examined, Monitoring
    from mlopsfw.monitoring.windows import Windows

MOST_AT_ONCE = 1000
"""So many windows are examined at most before the outbox is served and the clock is looked at again."""

_BEAT = 5.0  # seconds between looks at the clock, renewals of the lease and passes over the outbox
_LABEL_BEATS = 12  # beats between counts of the labels that have come


class Watcher:
    """Watches endpoints of a project.

    Args:
        services: The kernel's.
        monitoring: Examines windows.
        windows: Captured predictions by event time.
        alerts: Where alerts are raised, and from where they are delivered.
    """

    def __init__(self, services: Services, monitoring: Monitoring, windows: Windows, alerts: Alerts) -> None:
        self._services, self._monitoring, self._windows, self._alerts = services, monitoring, windows, alerts

    def watch(
        self,
        endpoint: str,
        every: timedelta,
        *,
        delay: timedelta = timedelta(0),
        zone: tzinfo = UTC,
        stop: threading.Event | None = None,
        report: Callable[[Examined], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
        beat: float = _BEAT,
    ) -> None:
        """Examine window after window of length `every`, `delay` after each is over, until `stop` is set.

        A window is examined again as its labels come, see `looks`: then only what labels say can alarm. A watcher continues where the last one
        left off, and catches up; windows without a prediction are passed over. Several may run: the others wait for the lease. Days are those
        of `zone`.

        Raises:
            UsageError: The length is 0.
            Exception: What a monitor raised. An alert is raised first: a watch that ends in silence looks like calm.
            Fenced: Another watcher took over, since this one stood still for longer than the lease allows.
        """
        stop = stop or threading.Event()
        name, actor, clock = f"lease/monitor/{endpoint}", self._services.actor(), self._services.clock
        lease = Lease(self._services.ledger.stream(name), actor, clock, patience=6 * beat)
        windows = _Schedule(endpoint, check_length(every), delay, zone)
        turn = _Turn(self._services, self._monitoring, self._windows, self._alerts, windows, lease, stop, say)
        for beats in itertools.count():
            if stop.is_set():
                break
            if lease.acquire() is not None:
                lease.renew()
                self._alerts.pump()
                turn.look(report, labels=beats % _LABEL_BEATS == 0)
            stop.wait(beat)
        if lease.epoch is not None:
            lease.release()


@dataclass(frozen=True)
class _Schedule:
    """Which windows are examined, and how long after the end of each."""

    endpoint: str
    every: timedelta
    delay: timedelta
    zone: tzinfo


@dataclass(frozen=True)
class _Turn:
    """One watcher's turn, while the lease is its own."""

    services: Services
    monitoring: Monitoring
    windows: Windows
    alerts: Alerts
    schedule: _Schedule
    lease: Lease
    stop: threading.Event
    say: Callable[[str], None]

    def look(self, report: Callable[[Examined], None], *, labels: bool) -> None:
        """Examine what is over, and where `labels` what has got labels; deliver what that raised, and an alert where it failed."""
        endpoint = self.schedule.endpoint
        group = f"{endpoint}/watch"
        try:
            for examined in itertools.chain(self._catch_up(), self._look_again() if labels else ()):
                report(examined)
                self.alerts.resolve(group, "Monitoring has resumed.")
        except Fenced:
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}\nTo continue: mlopsfw monitor watch {endpoint}"
            self.alerts.raise_(group, "critical", f"{endpoint}: monitoring has stopped", text)
            raise
        finally:
            self.alerts.pump()

    @property
    def _stream(self) -> Stream:
        return self.services.ledger.stream(f"monitor/{self.schedule.endpoint}")

    @property
    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.services.clock.now(), UTC)

    def _catch_up(self) -> Iterator[Examined]:
        start = self._next()
        if start is None:
            return  # nothing was captured yet
        schedule, end = self.schedule, self._now - self.schedule.delay
        if later(start, schedule.every, schedule.zone).astimezone(UTC) > end:
            return  # the next window is not over
        windows = self.windows.occupied(schedule.endpoint, start, end, every=schedule.every, zone=schedule.zone)
        for number, (low, high) in enumerate(windows):
            if self.stop.is_set():
                return
            if number == MOST_AT_ONCE:
                self.say(f"{MOST_AT_ONCE:,} windows are done; the next one begins {stamp(low)}.")
                return
            yield from self._examine(Looked(low, high, self._now, self._now, 0, 0), WatchPassed)
            start = high
        passed = holding(end, start, schedule.every, schedule.zone)
        if passed > start:  # windows without a prediction are passed in one go
            self._stream.append(WatchPassed(until=stamp(passed)))

    def _look_again(self) -> Iterator[Examined]:
        now = self._now
        waiting = [looked for looked in fold(self._stream.events()).values() if looked.is_open(now)]
        if not waiting:
            return
        spans = [(looked.start, looked.end) for looked in waiting]
        for looked, labelled in zip(waiting, self.windows.labelled(self.schedule.endpoint, spans), strict=True):
            if self.stop.is_set():
                return
            if looked.is_due(labelled, now):
                yield from self._examine(looked.again(labelled, now), WatchLooked)

    def _examine(self, looked: Looked, kind: type[LookRecord]) -> Iterator[Examined]:
        """Examine a window, and note it, so that the next watcher goes on behind it."""
        start, end = looked.start, looked.end
        examined = self.monitoring.examine(self.schedule.endpoint, start, end, look=looked.look, looks=LOOKS)
        yield from examined
        if looked.look == 1:
            looked = replace(looked, rows=_most(examined, "rows"), labelled=_most(examined, "labelled"))
        self._stream.append(looked.record(kind))
        self.lease.renew()  # catching up with a year must not look like death

    def _next(self) -> datetime | None:
        """Return where the next window begins: where the last one ended, or else where the first one is to begin."""
        schedule = self.schedule
        passed = [WatchPassed.of(e).until for e in self._stream.events() if e.type == WatchPassed.type]
        for until in reversed(passed):
            with contextlib.suppress(DataError):  # such as year 1, where a watch could once begin
                return datetime.fromtimestamp(event_micros(until) / 1e6, UTC).astimezone(schedule.zone)
        start = self.windows.beginning(schedule.endpoint, schedule.every, schedule.zone, self._now)
        if start is not None:
            aside = self.windows.set_aside(schedule.endpoint)
            self._stream.append(WatchBegun(start=stamp(start), set_aside=aside))
            self.say(f"The first window begins {stamp(start)}. {aside_sentence(aside)}".strip())
        return start


def _most(examined: list[Examined], count: str) -> int:
    """Return a count over all model versions, each as the monitor that saw most of it says."""
    most: dict[tuple[str, int], int] = {}
    for each in examined:
        version = each.report.model, each.report.version
        most[version] = max(most.get(version, 0), getattr(each.report, count))
    return sum(most.values())
