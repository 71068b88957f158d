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
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.ledger.lease import Lease
from mlopsfw.monitoring import Examined, examine
from mlopsfw.monitoring.looks import LOOKS, Looked, fold, labelled_rows
from mlopsfw.monitoring.windows import aside_sentence, beginning, holding, later, occupied, set_aside, stamp

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger.stream import Stream
    from mlopsfw.project.facade import Project

MOST_AT_ONCE = 1000
"""So many windows are examined at most before the outbox is served and the clock is looked at again."""

_BEAT = 5.0  # seconds between looks at the clock, renewals of the lease and passes over the outbox
_LABEL_BEATS = 12  # beats between counts of the labels that have come


def watch(
    project: Project,
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

    A window is examined again as its labels come, see `looks`: then only what labels say can alarm. Goes on where the last watcher left off,
    and catches up; windows without a prediction are passed over. Several may run: the others wait for the lease. Days are those of `zone`.

    Raises:
        Exception: What a monitor raised. Somebody is told first: a watch that ends in silence looks like calm.
        Fenced: Another watcher took over, since this one stood still for longer than the lease allows.
    """
    stop = stop or threading.Event()
    lease = Lease(project.ledger.stream(f"lease/monitor/{endpoint}"), project.actor, project.clock, patience=6 * beat)
    watcher = _Watcher(project, endpoint, every, delay, zone, lease, stop, say)
    for beats in itertools.count():
        if stop.is_set():
            break
        if lease.acquire() is not None:
            lease.renew()
            project.alerts.pump()
            watcher.look(report, labels=beats % _LABEL_BEATS == 0)
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
    lease: Lease
    stop: threading.Event
    say: Callable[[str], None]

    def look(self, report: Callable[[Examined], None], *, labels: bool) -> None:
        """Examine what is over, and where `labels` what has got labels; deliver what that raised, and tell somebody if it could not be done."""
        group = f"{self.endpoint}/watch"
        try:
            for examined in itertools.chain(self._catch_up(), self._look_again() if labels else ()):
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

    @property
    def _stream(self) -> Stream:
        return self.project.ledger.stream(f"monitor/{self.endpoint}")

    @property
    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.project.clock.now(), UTC)

    def _catch_up(self) -> Iterator[Examined]:
        start = self._next()
        if start is None:
            return  # nothing was captured yet
        end = self._now - self.delay
        if later(start, self.every, self.zone).astimezone(UTC) > end:
            return  # the next window is not over
        windows = occupied(self.project, self.endpoint, start, end, every=self.every, zone=self.zone)
        for number, (low, high) in enumerate(windows):
            if self.stop.is_set():
                return
            if number == MOST_AT_ONCE:
                self.say(f"{MOST_AT_ONCE:,} windows were examined; those from {stamp(low)} on follow.")
                return
            yield from self._examine(Looked(low, high, self._now, self._now, 0, 0), "watch.passed")
            start = high
        passed = holding(end, start, self.every, self.zone)
        if passed > start:  # windows without a prediction are passed in one go
            self._stream.append(PlainRecord("watch.passed", {"until": stamp(passed)}))

    def _look_again(self) -> Iterator[Examined]:
        now = self._now
        waiting = [looked for looked in fold(self._stream.events()).values() if looked.is_open(now)]
        if not waiting:
            return
        for looked, labelled in zip(waiting, labelled_rows(self.project, self.endpoint, waiting), strict=True):
            if self.stop.is_set():
                return
            if looked.is_due(labelled, now):
                yield from self._examine(looked.again(labelled, now), "watch.looked")

    def _examine(self, looked: Looked, event: str) -> Iterator[Examined]:
        """Examine a window, and note it, so that the next watcher goes on behind it."""
        found = examine(self.project, self.endpoint, looked.start, looked.end, look=looked.look, looks=LOOKS)
        yield from found
        if looked.look == 1:
            looked = replace(looked, rows=_most(found, "rows"), labelled=_most(found, "labelled"))
        self._stream.append(PlainRecord(event, looked.body()))
        self.lease.renew()  # catching up with a year must not look like death

    def _next(self) -> datetime | None:
        """Return where the next window begins: where the last one ended, or else where the first one is to begin."""
        passed = [event.body["until"] for event in self._stream.events() if event.type == "watch.passed"]
        for until in reversed(passed):
            with contextlib.suppress(DataError):  # such as year 1, where a watch could once begin
                return datetime.fromtimestamp(event_micros(until) / 1e6, UTC).astimezone(self.zone)
        start = beginning(self.project, self.endpoint, self.every, self.zone, self._now)
        if start is not None:
            aside = set_aside(self.project, self.endpoint)
            self._stream.append(PlainRecord("watch.begun", {"from": stamp(start), "set_aside": aside}))
            self.say(f"The first window begins {stamp(start)}. {aside_sentence(aside)}".strip())
        return start


def _most(found: list[Examined], count: str) -> int:
    """Return a count over all model versions, each as the monitor that saw most of it says."""
    versions = {(one.report.model, one.report.version) for one in found}
    return sum(
        max(getattr(one.report, count) for one in found if (one.report.model, one.report.version) == version)
        for version in versions
    )
