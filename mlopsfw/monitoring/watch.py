"""Watch an endpoint: examine each window after its end, and again as its labels arrive. Only the holder of the lease works."""

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
from mlopsfw.monitoring.events import LookRecord, WatchBegun, WatchLooked, WatchPassed
from mlopsfw.monitoring.looks import LOOKS, Looked, fold
from mlopsfw.monitoring.window_bounds import check_length, holding, later, stamp
from mlopsfw.monitoring.windows import aside_sentence
from mlopsfw.operations.lease import Lease

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts
    from mlopsfw.kernel.ledger.stream import Stream
    from mlopsfw.kernel.services import Services
    from mlopsfw.monitoring.examination import Examined, Monitoring
    from mlopsfw.monitoring.windows import Windows

MOST_AT_ONCE = 1000
"""How many windows a watcher examines at most before it delivers alerts and reads the clock again."""

_BEAT = 5.0  # seconds between looks at the clock, renewals of the lease and passes over the outbox
_LABEL_BEATS = 12  # beats between counts of the labels received


class Watcher:
    """Watches endpoints of a project.

    Args:
        services: The kernel's services.
        monitoring: Examines windows.
        windows: Captured predictions by event time.
        alerts: Raises and delivers the alerts.
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
        """Examine windows of length `every`, each `delay` after its end, until `stop` is set.

        The watcher examines a window again as its labels arrive (see `looks`); then only the labels can raise an alarm. It continues where the
        last watcher stopped, catches up, and skips windows without predictions. Several watchers may run: all but one wait for the lease.
        Days follow `zone`.

        Raises:
            UsageError: The length is 0.
            Exception: The error of a monitor. The watcher raises an alert first, since a watch that ends in silence looks like calm.
            Fenced: Another watcher took over, since this one was stuck for longer than the lease allows.
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
    """The windows to examine, and the delay after the end of each."""

    endpoint: str
    every: timedelta
    delay: timedelta
    zone: tzinfo


@dataclass(frozen=True)
class _Turn:
    """One watcher's turn while it holds the lease."""

    services: Services
    monitoring: Monitoring
    windows: Windows
    alerts: Alerts
    schedule: _Schedule
    lease: Lease
    stop: threading.Event
    say: Callable[[str], None]

    def look(self, report: Callable[[Examined], None], *, labels: bool) -> None:
        """Examine the windows that have ended, with `labels` also those with new labels. Deliver the alerts, among them one if this fails."""
        endpoint = self.schedule.endpoint
        group = f"{endpoint}/watch"
        try:
            for examined in itertools.chain(self._catch_up(), self._look_again() if labels else ()):
                report(examined)
                self.alerts.resolve(group, "Monitoring has resumed.")
        except Fenced:
            raise
        except Exception as error:
            text = (
                f"{type(error).__name__}: {error}\n"
                f"No window of {endpoint} is examined until you restart the watch: mlopsfw monitor watch {endpoint}"
            )
            self.alerts.raise_(group, "critical", f"{endpoint}: monitoring has stopped", text)
            raise
        finally:
            for name, reason in self.alerts.pump().reasons.items():
                self.say(f"The alerter {name} failed: {reason}")

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
            return  # the next window has not ended
        windows = self.windows.occupied(schedule.endpoint, start, end, every=schedule.every, zone=schedule.zone)
        for number, (low, high) in enumerate(windows):
            if self.stop.is_set():
                return
            if number == MOST_AT_ONCE:
                self.say(f"Examined {MOST_AT_ONCE:,} windows; the next one begins {stamp(low)}.")
                return
            yield from self._examine(Looked(low, high, self._now, self._now, 0, 0), WatchPassed)
            start = high
        passed = holding(end, start, schedule.every, schedule.zone)
        if passed > start:  # one event skips all windows without predictions
            self._stream.append(WatchPassed(until=stamp(passed)))

    def _look_again(self) -> Iterator[Examined]:
        now = self._now
        waiting = [looked for looked in fold(self._stream.events()).values() if looked.is_open(now)]
        if not waiting:
            return
        spans = [(looked.start, looked.end) for looked in waiting]
        for looked, labelled in zip(waiting, self.windows.count_labels(self.schedule.endpoint, spans), strict=True):
            if self.stop.is_set():
                return
            if looked.is_due(labelled, now):
                yield from self._examine(looked.again(labelled, now), WatchLooked)

    def _examine(self, looked: Looked, kind: type[LookRecord]) -> Iterator[Examined]:
        """Examine a window and record the look, so that the next watcher continues after it."""
        start, end = looked.start, looked.end
        examined = self.monitoring.examine(self.schedule.endpoint, start, end, look=looked.look, looks=LOOKS)
        yield from examined
        if looked.look == 1:
            looked = replace(looked, rows=_most(examined, "rows"), labelled=_most(examined, "labelled"))
        self._stream.append(looked.record(kind))
        self.lease.renew()  # catching up may take long, and must not lose the lease

    def _next(self) -> datetime | None:
        """Return the start of the next window: the end of the last one, or the beginning of the captured predictions."""
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
    """Return a count summed over the model versions; for each version the largest count of any monitor."""
    most: dict[tuple[str, int], int] = {}
    for each in examined:
        version = each.report.model, each.report.version
        most[version] = max(most.get(version, 0), getattr(each.report, count))
    return sum(most.values())
