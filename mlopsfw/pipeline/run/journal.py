"""The run's own stream, written by its coordinator: start, takeover, heartbeat, end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.pipeline.run.events import RunFinished, RunHeartbeat, RunStarted
from mlopsfw.pipeline.run.liveness import identity

if TYPE_CHECKING:
    from mlopsfw.kernel.events.record import EventRecord
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.kernel.roles.event import Event

_ENDED = ("done", "refused")
"""Statuses of a finished run. A run with any other status can be resumed."""


class Journal:
    """Appends to a run's stream as the coordinator of one epoch. Raises `Fenced` as soon as another coordinator has taken over.

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

    def begin(self, record: RunStarted) -> None:
        """Append that the run began in this process."""
        started = msgspec.structs.replace(record, environment=self.environment, process=identity())
        self._stream.append(started, expecting=0, epoch=self.epoch)

    def append(self, record: EventRecord) -> Event:
        """Append an event of this run."""
        self._spoke = time.monotonic()
        return self._stream.append(record, epoch=self.epoch)

    def heartbeat(self, interval: float) -> None:
        """Append a heartbeat if nothing was appended for `interval` seconds."""
        if time.monotonic() - self._spoke >= interval:
            self.append(RunHeartbeat())

    def end(self, status: str, exit_code: int) -> float:
        """Append `run.finished`, for good if the run is done or refused; return the seconds that this session took."""
        seconds = time.monotonic() - self._began
        write = self._stream.seal if status in _ENDED else self._stream.append
        write(RunFinished(status=status, exit_code=exit_code, seconds=seconds), epoch=self.epoch)
        return seconds
