"""Bytes from elsewhere, brought to a private file once: with resumption where a connection drops, whole or not at all.

Readers need files: a type that was guessed wrong, and the line of a bad row, are found by reading anew; Parquet begins at its end.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mlopsfw.capturelog.disk import as_storage_error
from mlopsfw.kernel.base.errors import DataError, StorageFull, StorageUnavailable
from mlopsfw.kernel.roles.source import Received

_TRIES = 5
_GAIN = 1 << 20  # bytes that a try must bring for the next ones to count anew
_FIRST, _LONGEST = 0.2, 60.0  # seconds between tries
_SLOWEST = 1024  # bytes a second


class Dropped(Exception):
    """A connection broke, or a server asks for patience; another try may do.

    Args:
        message: What was met.
        after: Seconds that the server wants to be left alone.
        hint: What to do where no try succeeds.
    """

    def __init__(self, message: str, after: float = 0.0, hint: str = "") -> None:
        super().__init__(message)
        self.after, self.hint = after, hint


@dataclass(frozen=True)
class Part:
    """What is on its way.

    Args:
        start: Position of its first byte in the whole: the one asked for, or 0.
        size: Bytes of the whole, None where it ends when it ends.
        chunks: The bytes.
    """

    start: int
    size: int | None
    chunks: Iterator[bytes]


class Resumable(Protocol):
    """A file whose bytes can be had from any position on."""

    @property
    def shown(self) -> str:
        """Return where it is, without credentials."""
        ...

    def open(self, start: int) -> AbstractContextManager[Part]:
        """Open it from byte `start` on. Raise `Dropped`, `DataError` where it is no longer the one that was opened first."""
        ...


def download(
    file: Resumable,
    to: Path,
    timeout: float,
    received: Received,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Copy all of a file elsewhere to the file `to`.

    Args:
        file: The file elsewhere.
        to: The file, which is made anew.
        timeout: Seconds over which fewer than 1 KiB a second count as a dropped connection.
        received: Is given how many bytes came so far, and how many there will be.
        pause: Sleeps.

    Raises:
        DataError: It changed on the way, or ended early each time.
        StorageUnavailable: No try got through.
        StorageFull: There is no room.
    """
    tries, gained = 0, 0
    with as_storage_error(f"downloading {file.shown}"), to.open("wb") as out:
        while True:
            tries += 1
            try:
                _transfer(file, out, timeout, received)
            except Dropped as error:
                if out.tell() - gained >= _GAIN:
                    tries, gained = 1, out.tell()
                if tries == _TRIES or error.after > _LONGEST:
                    raise _gave_up(file, tries, error) from None
                pause(error.after or random.uniform(0, _FIRST * 2**tries))  # noqa: S311 - jitter, not a secret
            else:
                return


def _gave_up(file: Resumable, tries: int, error: Dropped) -> StorageUnavailable:
    wish = f"; the server asks for a pause of {error.after:g} s" if error.after else ""
    return StorageUnavailable(
        f"{file.shown} could not be read in {tries} {'attempt' if tries == 1 else 'attempts'}: {error}{wish}",
        hint=f"{error.hint} Nothing was committed; try again later.".strip(),
    )


def _transfer(file: Resumable, out: Any, timeout: float, received: Received) -> None:
    with file.open(out.tell()) as part:
        if part.start != out.tell():
            out.seek(part.start)
            out.truncate()
        if part.size is not None and part.size - part.start > shutil.disk_usage(Path(out.name).parent).free:
            raise StorageFull(f"{file.shown} has {part.size:,} bytes, more than the disk has room for")
        pace = _Pace(timeout)
        for chunk in part.chunks:
            out.write(chunk)
            received(out.tell(), part.size)
            pace.count(len(chunk))
        if part.size is not None and out.tell() != part.size:
            if out.tell() > part.size:
                raise DataError(f"{file.shown} is longer than the {part.size:,} bytes it promised")
            raise Dropped(f"it promised {part.size:,} bytes and ended after {out.tell():,}")


class _Pace:
    """Notices a connection that drips."""

    def __init__(self, window: float) -> None:
        self._window, self._since, self._bytes = window, time.monotonic(), 0

    def count(self, size: int) -> None:
        """Count bytes that came. Raise `Dropped` where they came too slowly."""
        self._bytes += size
        passed = time.monotonic() - self._since
        if passed < self._window:
            return
        if self._bytes < _SLOWEST * passed:
            raise Dropped(f"{self._bytes:,} bytes in {passed:.0f} s")
        self._since, self._bytes = time.monotonic(), 0
