"""A time limit for a statement of SQLite."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import UsageError

if TYPE_CHECKING:
    import sqlite3

_STEPS = 10_000  # of SQLite's machine between two looks at the clock


@contextmanager
def limited(db: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """End the statements of a block that run longer than `seconds`. Raise `UsageError` for it."""
    if seconds == math.inf:
        yield
        return
    end = time.monotonic() + seconds
    db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        yield
    except UsageError:
        if time.monotonic() < end:
            raise
        hint = "Ask for less, or allow more time with --timeout."
        raise UsageError(f"the statement took longer than {seconds:g} seconds", hint=hint) from None
    finally:
        db.set_progress_handler(None, 0)
