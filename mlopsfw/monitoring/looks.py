"""When a watched window is looked at again as its labels come: by the share of its rows that have one, and at fixed ages.

Pure: what the watcher's events come to decides, so that a watcher that starts anew goes on where the last one was.
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
"""A window is looked at again when labels first cover such a share of its rows."""
AGES = (timedelta(days=7), timedelta(days=30))
"""And so long after its first look, if labels have come since the last one."""
LOOKS = 1 + len(SHARES) + len(AGES)
"""How often a window is looked at, at most."""
_UNTIL = AGES[-1] + timedelta(days=1)


@dataclass(frozen=True)
class Looked:
    """A window that was looked at.

    Args:
        start, end: The window.
        first, last: When it was first and last looked at.
        rows, labelled: Its rows, and how many had a label at the last look.
        look: How often it was looked at.
    """

    start: datetime
    end: datetime
    first: datetime
    last: datetime
    rows: int
    labelled: int
    look: int = 1

    def is_open(self, now: datetime) -> bool:
        """Return whether it may be looked at again: for 31 days after the first look, and `LOOKS` times in all."""
        return self.look < LOOKS and now <= self.first + _UNTIL

    def is_due(self, labelled: int, now: datetime) -> bool:
        """Return whether to look again now that so many rows have a label."""
        if labelled <= self.labelled:
            return False
        crossed = any(self.labelled < share * self.rows <= labelled for share in SHARES)
        return crossed or any(self.last < self.first + age <= now for age in AGES)

    def record(self, kind: type[LookRecord]) -> LookRecord:
        """Return the event of the look."""
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
        """Return it as it is after one more look."""
        return replace(self, last=now, labelled=labelled, look=self.look + 1)


def fold(happened: Iterable[Event]) -> dict[str, Looked]:
    """Return the last look at each window that held rows, by its start. A window without rows is only passed."""
    looked: dict[str, Looked] = {}
    for event in happened:
        if (kind := LOOK_EVENTS.get(event.type)) and (look := kind.of(event)).rows:
            start, end, first, last = map(datetime.fromisoformat, (look.start, look.until, look.first, look.at))
            looked[look.start] = Looked(start, end, first, last, look.rows, look.labelled or 0, look.look or 1)
    return looked
