"""What is open in this process: the log of the running step, the run of a script."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Generic, TypeVar

from mlopsfw.kernel.base.errors import UsageError

T = TypeVar("T")


class Current(Generic[T]):
    """The innermost value opened in this context, such as a thread or a task; in others the only one of the process.

    A thread that user code starts inherits no context. So where nothing was opened in it, the value of the whole process counts.

    Args:
        name: What it holds, for errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._here: ContextVar[T | None] = ContextVar(f"mlopsfw_{name}", default=None)
        self._open: list[T] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def open(self, value: T) -> Iterator[T]:
        """Make `value` the current one inside the block. The block may end in another context than the one that it began in."""
        before = self._here.get()
        self._here.set(value)
        with self._lock:
            self._open.append(value)
        try:
            yield value
        finally:
            with self._lock:
                self._open.remove(value)
            if self._here.get() is value:
                self._here.set(before)

    def get(self) -> T | None:
        """Return the current value, or None where nothing is open. Raise `UsageError` where several are, none of them here."""
        here = self._here.get()
        if here is not None:
            return here
        found = self._open[:]
        if len(found) > 1:
            raise UsageError(
                f"{len(found)} runs are open in this process, and this thread is in none of them ({self._name})",
                hint="Call the method of the run or of the step's context: run.log_metric(…), context.log_metric(…).",
            )
        return found[0] if found else None
