"""Ctrl-C, told from a `KeyboardInterrupt` that some code raises by itself: only a signal is counted here.

Python's own handler leaves no trace of why it raised. Ours raises the same exception and counts. It stands in for that
handler alone: where a host program handles SIGINT itself, every `KeyboardInterrupt` is taken for real.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

_counted = 0
_ours = False


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Raise `KeyboardInterrupt`, as Python's own handler of SIGINT does, and count it.

    A handler for any signal that asks to stop.
    """
    global _counted  # noqa: PLW0603 - a signal handler is handed nothing to keep it in
    _counted += 1
    raise KeyboardInterrupt


def install() -> bool:
    """Count the SIGINTs of this process from now on; return whether this call began it. Only the main thread can."""
    global _ours  # noqa: PLW0603 - there is one handler a process
    if _ours or not _is_main() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    signal.signal(signal.SIGINT, interrupt)
    _ours = True
    return True


def uninstall() -> None:
    """Hand SIGINT back to Python's own handler."""
    global _ours  # noqa: PLW0603
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _ours = False


def counted() -> int:
    """Return how many signals asked this process to stop so far; 0 in threads that no signal reaches."""
    return _counted if _is_main() else 0


def can_tell() -> bool:
    """Return whether a signal that raises `KeyboardInterrupt` here is counted. Only the main thread gets signals."""
    return not _is_main() or signal.getsignal(signal.SIGINT) in (interrupt, signal.SIG_IGN)


def _is_main() -> bool:
    return threading.get_ident() == threading.main_thread().ident
