"""Retries: which failed attempt is tried again, and when. As often as configured with growing delays, and always a few times after a lost worker."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlopsfw.kernel.roles.engine import Failure

if TYPE_CHECKING:
    from mlopsfw.pipeline.run.attempt import Attempt

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
LOST_RETRIES = 2
"""Further attempts after a process or node vanished, which says little about the step."""


class Retries:
    """The attempts that wait for their next try."""

    def __init__(self) -> None:
        self.waiting: dict[str, tuple[float, Attempt]] = {}
        self._lost: dict[str, int] = {}

    def after(self, attempt: Attempt, failure: Failure) -> float | None:
        """Plan another try; return the seconds until then, or None if there is none."""
        name = attempt.node.name
        if failure.lost:
            self._lost[name] = self._lost.get(name, 0) + 1
        raised = attempt.number - self._lost.get(name, 0)
        allowed = self._lost.get(name, 0) <= LOST_RETRIES if failure.lost else raised <= attempt.node.config.retries
        if not failure.retryable or not allowed:
            return None
        pause = 0.0 if failure.lost else pause_before(raised)
        attempt.number, attempt.stopped, attempt.handle = attempt.number + 1, None, None
        self.waiting[name] = time.monotonic() + pause, attempt
        return pause

    def is_waiting(self, name: str) -> bool:
        """Return whether the step waits for its next attempt."""
        return name in self.waiting

    def times(self) -> Iterator[float]:
        """Yield the moments, on the monotonic clock, of the next attempts."""
        return (moment for moment, _ in self.waiting.values())

    def due(self) -> list[Attempt]:
        """Return and remove the due attempts."""
        now = time.monotonic()
        names = [name for name, (moment, _) in self.waiting.items() if moment <= now]
        return [self.waiting.pop(name)[1] for name in names]


def pause_before(retry: int) -> float:
    """Return the seconds before retry number `retry`: doubling, with jitter so that steps do not retry together."""
    pause: float = min(FIRST_PAUSE * 2.0 ** (retry - 1), LONGEST_PAUSE)
    return pause * random.uniform(0.75, 1.25)  # noqa: S311 - not a secret
