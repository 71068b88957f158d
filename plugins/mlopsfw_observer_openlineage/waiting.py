"""Run events that the receiver did not take: they wait on this machine, and whatever is sent next, of this run or a later one, is sent after them.

Two processes may send the same event; it has the same run, type and time then, by which receivers know it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.errors import DeliveryFailed, MlopsfwError

if TYPE_CHECKING:
    from mlopsfw.roles import Clock

_PAUSE = 30.0  # seconds after a failure in which nothing is tried: a receiver that is down costs a run one timeout, not one an event
_MOST = 10_000  # events that wait; a reader of the ledger finds the others


class Waiting:
    """The events that wait.

    Args:
        folder: A private folder of this machine's.
        clock: This machine's.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._failed = folder / "failed"

    def send(self, body: bytes, post: Callable[[bytes], None]) -> None:
        """Send what waits, then `body`. Where the receiver fails it waits too, and the first failure of a while is raised.

        Args:
            body: The event.
            post: Sends one; raises where the receiver does not have it.
        """
        if not self._names():
            try:
                post(body)
            except MlopsfwError as error:
                self._keep(body)
                raise self._noted(error) from error
            return
        self._keep(body)
        if self._clock.now() - self._failed.stat().st_mtime < _PAUSE:
            return
        for name in self._names():
            try:
                post((self._folder / name).read_bytes())
            except FileNotFoundError:  # another process sent it
                continue
            except MlopsfwError as error:
                raise self._noted(error) from error
            (self._folder / name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        """Return the files of the events that wait, oldest first."""
        return sorted(path.name for path in self._folder.glob("*.json"))

    def _keep(self, body: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._failed.exists():
            self._failed.touch()
        if len(self._names()) >= _MOST:
            raise DeliveryFailed(
                f"{_MOST:,} events are waiting already, and this one is dropped", hint="The ledger holds all of them."
            )
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        with (self._folder / name).open("xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        (self._folder / name).rename(self._folder / f"{name}.json")

    def _noted(self, error: MlopsfwError) -> DeliveryFailed:
        os.utime(self._failed, (self._clock.now(),) * 2)
        return DeliveryFailed(
            f"{error.message}; {len(self._names()):,} events are waiting",
            hint=f"{error.hint} They are sent with the next run's.".strip(),
        )
