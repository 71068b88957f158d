"""The system's clock, as `mlopsfw.roles.Clock` has it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Wall time for stamps, monotonic time for durations."""

    def now(self) -> float:
        """Return seconds since the epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()


def rfc3339(seconds: float) -> str:
    """Return a stamp as events carry it: UTC, microseconds, `Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
