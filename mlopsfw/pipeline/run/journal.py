"""The run's own stream, written by its coordinator: begun, taken over, kept alive, ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.pipeline.run.liveness import identity

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.kernel.roles.event import Event

_ENDED = ("done", "refused")
"""Statuses after which nothing can follow; the others leave a run that can be resumed."""


class Journal:
    """Appends to one run's stream as the coordinator of one epoch: `Fenced` as soon as another has taken over.

    Args:
        ledger: Where the stream is.
        run: The run's id.
        epoch: The epoch of this coordinator.
        environment: Blob with what is installed.
    """

    def __init__(self, ledger: Ledger, run: str, *, epoch: int = 0, environment: str = "") -> None:
        self.run, self.epoch, self.environment = run, epoch, environment
        self._stream = ledger.stream(f"run/{run}")
        self._began = self._spoke = time.monotonic()

    def begin(self, **facts: Any) -> None:
        """Append `run.started`."""
        body = {**facts, "environment": self.environment, "process": identity()}
        self._stream.append(PlainRecord("run.started", msgspec.to_builtins(body)), expecting=0, epoch=self.epoch)

    def append(self, type: str, /, **body: Any) -> Event:  # noqa: A002 - the event's own field name
        """Append an event of this run."""
        self._spoke = time.monotonic()
        return self._stream.append(PlainRecord(type, msgspec.to_builtins(body)), epoch=self.epoch)

    def heartbeat(self, interval: float) -> None:
        """Append a sign of life if nothing was appended for `interval` seconds."""
        if time.monotonic() - self._spoke >= interval:
            self.append("run.heartbeat")

    def end(self, status: str, exit_code: int) -> float:
        """Append `run.finished`, for good if the run is done or refused; return the seconds that this session took."""
        seconds = time.monotonic() - self._began
        body = {"status": status, "exit_code": exit_code, "seconds": seconds}
        write = self._stream.seal if status in _ENDED else self._stream.append
        write(PlainRecord("run.finished", body), epoch=self.epoch)
        return seconds
