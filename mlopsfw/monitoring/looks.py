"""When a watch looks at a window again: when enough of its rows have labels, and at fixed ages.

Pure: the decision depends only on the watch's events, so a watcher that restarts continues where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlopsfw.monitoring.events import LOOK_EVENTS, LookRecord
from mlopsfw.monitoring.window_bounds import stamp

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.event import Event

SHARES = (0.1, 0.5, 0.9)
"""A watch looks at a window again when the share of its rows with labels first reaches each of these."""
AGES = (timedelta(days=7), timedelta(days=30))
"""A watch also looks again this long after the first look, if labels have arrived since the last look."""
LOOKS = 1 + len(SHARES) + len(AGES)
"""How many looks a window gets at most."""
_UNTIL = AGES[-1] + timedelta(days=1)


@dataclass(frozen=True)
class Looked:
    """The looks at one window so far.

    Args:
        start, end: The window.
        first, last: When the first and the last look took place.
        rows, labelled: The rows of the window, and how many had a label at the last look.
        look: How many looks there were.
    """

    start: datetime
    end: datetime
    first: datetime
    last: datetime
    rows: int
    labelled: int
    look: int = 1

    def is_open(self, now: datetime) -> bool:
        """Return whether the window may get another look: until 31 days after the first one, and at most `LOOKS` in all."""
        return self.look < LOOKS and now <= self.first + _UNTIL

    def is_due(self, labelled: int, now: datetime) -> bool:
        """Return whether another look is due, given how many rows have a label now."""
        if labelled <= self.labelled:
            return False
        crossed = any(self.labelled < share * self.rows <= labelled for share in SHARES)
        return crossed or any(self.last < self.first + age <= now for age in AGES)

    def record(self, kind: type[LookRecord]) -> LookRecord:
        """Return the event that records the look."""
        return kind(
            start=stamp(self.start),
            until=stamp(self.end),
            first=stamp(self.first),
            at=stamp(self.last),
            rows=self.rows,
            labelled=self.labelled,
            look=self.look,
        )

    def again(self, labelled: int, now: datetime) -> Looked:
        """Return the state after one more look."""
        return replace(self, last=now, labelled=labelled, look=self.look + 1)


def fold(events: Iterable[Event]) -> dict[str, Looked]:
    """Return the looks at each window with rows, by the window's start. Windows without rows get no look."""
    looked: dict[str, Looked] = {}
    for event in events:
        if (kind := LOOK_EVENTS.get(event.type)) and (look := kind.of(event)).rows:
            start, end, first, last = map(datetime.fromisoformat, (look.start, look.until, look.first, look.at))
            looked[look.start] = Looked(start, end, first, last, look.rows, look.labelled or 0, look.look or 1)
    return looked
