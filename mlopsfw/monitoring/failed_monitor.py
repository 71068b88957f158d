"""`FailedMonitor`: stands for a monitor that could not be built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never

from mlopsfw.kernel.roles.monitoring import Monitor

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.monitoring import Window


class FailedMonitor(Monitor):
    """Raises, when it is asked, what kept the monitor from being built.

    Args:
        error: The error.
    """

    def __init__(self, error: Exception) -> None:
        self._error = error

    def signals(self, window: Window, state: Any) -> Never:  # noqa: ARG002 - as `Monitor` has it
        """Raise the error."""
        raise self._error
