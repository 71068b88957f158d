"""The log of an endpoint's processes: one JSON line per event on standard error, in a file of bounded size. Repeated faults are counted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import traceback
from pathlib import Path
from threading import Lock

LONGEST = 16 << 20  # bytes of the log; one more file of that size holds older lines
_STDERR = 2
_QUIET = 60.0  # seconds in which a repeated fault is only counted
_KINDS = 64  # most places of faults that are counted separately
_LONGEST_TRACEBACK = 8000  # characters; the end says most


def log(event: str, **facts: object) -> None:
    """Write one JSON line to the log. JSON escapes control characters, so no text can forge a line.

    Never raises: a full disk must not end a process that can run without a log.
    """
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **facts}
    with contextlib.suppress(OSError):
        os.write(_STDERR, json.dumps(line).encode() + b"\n")


class FaultLog:
    """Logs a fault with its traceback, and then only counts it for a while: a client that repeats a request must not fill the disk."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._logged: dict[str, tuple[float, int]] = {}  # place → when it was logged, and how often it occurred since

    def write(self, error: BaseException, **facts: object) -> None:
        """Log `error`, or count it."""
        place, now = _place(error), time.monotonic()
        with self._lock:
            if place not in self._logged and len(self._logged) >= _KINDS:
                place = "elsewhere"
            logged, repeated = self._logged.get(place, (float("-inf"), 0))
            if now - logged < _QUIET:
                self._logged[place] = (logged, repeated + 1)
                return
            self._logged[place] = (now, 0)
        text = "".join(traceback.format_exception(error))[-_LONGEST_TRACEBACK:]
        log("fault", **facts, repeated=repeated, traceback=text)


def _place(error: BaseException) -> str:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last is not None else ""
    return f"{type(error).__name__} {where}"


def rotate(file: Path, longest: int = LONGEST) -> None:
    """Rotate the log if it is too long: copy it, then truncate it, since several processes hold it open for appending.

    If there is no space for the copy, its lines are lost.
    """
    with contextlib.suppress(OSError):
        if file.stat().st_size <= longest:
            return
        aside = file.with_suffix(".log.1")
        try:
            shutil.copyfile(file, aside)
        except OSError:
            aside.unlink(missing_ok=True)
        os.truncate(file, 0)
