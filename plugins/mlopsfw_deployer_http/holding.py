"""The owner of an endpoint's folder: the supervisor, by a lock, which unlike a process id is unambiguous; and the cleanup after it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path

from mlopsfw_deployer_http.settings import LOCK, STATUS, Status, read

_POLL = 0.02  # seconds
_SILENT = (
    10.0  # seconds after which a supervisor that shows no sign of life counts as stopped; it shows one each second
)
_WIDTH = 20  # characters of the id: overwritten in place, which needs no space on the disk


def alive(folder: Path) -> bool:
    """Return whether a supervisor holds the folder."""
    try:
        with (folder / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def reacts(folder: Path) -> bool:
    """Return whether the supervisor that holds the folder has shown a sign of life in the last seconds."""
    return time.time() - (folder / LOCK).stat().st_mtime < _SILENT


def supervisor_of(folder: Path) -> int:
    """Return the id of the process that holds the folder."""
    for _ in range(50):
        text = (folder / LOCK).read_text(encoding="ascii").strip()
        if text:
            return int(text)
        time.sleep(_POLL)  # it has just taken the lock
    raise ProcessLookupError(f"{folder / LOCK} names no process")


def hold(folder: Path) -> int:
    """Take the folder for the life of this process or its child; return the lock's descriptor.

    Raises:
        BlockingIOError: Another process holds it.
    """
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    for attempt in range(100):  # a check of the lock may hold it for a moment
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt == 99:  # noqa: PLR2004 - the last
                os.close(lock)
                raise
            time.sleep(_POLL)
        else:
            break
    os.pwrite(lock, b" " * _WIDTH, 0)
    return lock


def sign(lock: int) -> None:
    """Write this process's id into the lock that it holds."""
    os.pwrite(lock, str(os.getpid()).ljust(_WIDTH).encode(), 0)


def end_orphan(folder: Path, patience: float) -> None:
    """Wait for the server process of a killed supervisor: it answers its current requests and ends. Kill it if it does not.

    Until it is gone it holds the endpoint's port.
    """
    with contextlib.suppress(OSError, ValueError):
        status = read(folder / STATUS, Status)
        end = time.monotonic() + patience
        while status is not None and status.worker and _is_ours(status.worker, folder):
            if time.monotonic() > end:
                os.kill(status.worker, signal.SIGKILL)
            time.sleep(_POLL)


def _is_ours(process: int, folder: Path) -> bool:
    """Return whether an id is a server process of this endpoint; false if the system does not say."""
    state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    command = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    return state != "Z" and any(word.startswith(os.fsencode(f"{folder}{os.sep}")) for word in command)
