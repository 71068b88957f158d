"""The log of an endpoint's processes: one JSON line an event on the standard error, faults told once, and a file that cannot outgrow its place."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import traceback
from pathlib import Path
from threading import Lock

LONGEST = (
    16 << 20
)  # bytes of the log; what is older lies in one more file of that size, and what is older still is gone
_STDERR = 2
_QUIET = 60.0  # seconds in which a fault that repeats is only counted
_KINDS = 64  # faults at different places that are told apart
_LONGEST_TRACEBACK = 8000  # characters; the end says most


def log(event: str, **facts: object) -> None:
    """Write one JSON line to the log; control characters are escaped by JSON, so nothing can forge a line.

    Never raises: a full disk must not end what goes on without a log.
    """
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **facts}
    with contextlib.suppress(OSError):
        os.write(_STDERR, json.dumps(line).encode() + b"\n")


class FaultLog:
    """Tells a fault with its traceback, and afterwards only how often it came: a client that repeats a request must not fill the disk."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._logged: dict[str, tuple[float, int]] = {}  # place → when it was told, how often it came since

    def write(self, error: BaseException, **facts: object) -> None:
        """Tell `error`, or count it."""
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
    """Put the log aside where it is too long: copied and then cut, since several processes hold it open for appending.

    Where there is no room for the copy its lines are lost.
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
