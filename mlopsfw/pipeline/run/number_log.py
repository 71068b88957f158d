"""What takes the numbers that a run logs: `MetricLog`, which uses the modules that write to it."""

from __future__ import annotations

from typing import Protocol


class NumberLog(Protocol):
    """Takes numbers, as `MetricLog` does."""

    def log(self, name: str, value: float, step: float | None = None) -> None:
        """Append one number."""
        ...
