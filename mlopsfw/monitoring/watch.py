"""Watching: examine each window as soon as it is over, one watcher at a time, for as long as the lease is ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mlopsfw.capture.times import micros
from mlopsfw.errors import NotFound
from mlopsfw.ledger.lease import Lease
from mlopsfw.monitoring import Examined, examine
from mlopsfw.monitoring.windows import span

if TYPE_CHECKING:
    from mlopsfw.project import Project

_BEAT = 5.0  # seconds between looks at the clock, renewals of the lease and passes over the outbox


def watch(
    project: Project,
    endpoint: str,
    every: timedelta,
    *,
    delay: timedelta = timedelta(0),
    stop: threading.Event | None = None,
    report: Callable[[Examined], None] = lambda _: None,
    beat: float = _BEAT,
) -> None:
    """Examine window after window of length `every`, `delay` after each is over, until `stop` is set.

    Goes on where the last watcher left off, and catches up. Several may run: the others wait for the lease.

    Raises:
        Fenced: Another watcher took over, since this one stood still for longer than the lease allows.
    """
    stop = stop or threading.Event()
    lease = Lease(project.ledger.stream(f"lease/monitor/{endpoint}"), project.actor, project.clock, patience=6 * beat)
    while not stop.is_set():
        if lease.acquire() is not None:
            lease.renew()
            for examined in _catch_up(project, endpoint, every, delay=delay, stop=stop):
                report(examined)
            project.alerts.pump()
        stop.wait(beat)
    if lease.epoch is not None:
        lease.release()


def _catch_up(
    project: Project, endpoint: str, every: timedelta, *, delay: timedelta, stop: threading.Event
) -> Iterator[Examined]:
    try:
        start = _next(project, endpoint)
    except NotFound:
        return  # nothing was captured yet
    now = datetime.fromtimestamp(project.clock.now(), UTC)
    while start + every + delay <= now and not stop.is_set():
        yield from examine(project, endpoint, start, start + every)
        start += every
        stream = project.ledger.stream(f"monitor/{endpoint}")
        stream.append("watch.passed", {"until": start.isoformat()})  # said also of a window without a row


def _next(project: Project, endpoint: str) -> datetime:
    """Return where the next window begins: where the last one ended, or at midnight (UTC) before the first prediction."""
    passed = [e for e in project.ledger.stream(f"monitor/{endpoint}").events() if e.type == "watch.passed"]
    if passed:
        return datetime.fromtimestamp(micros(passed[-1].body["until"]) / 1e6, UTC)
    return span(project, endpoint)[0].replace(hour=0, minute=0, second=0, microsecond=0)
