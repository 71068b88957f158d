"""What monitors keep from one window to the next: per monitor, endpoint and model version, in the events of the windows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import Erased
from mlopsfw.monitoring.past import examined_windows

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.kernel.roles.monitoring import Window
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.monitoring.events import WindowExamined


class _State(msgspec.Struct, frozen=True, omit_defaults=True):
    """A state as its blob holds it: a JSON value, or bytes in base64."""

    value: Any = None
    content: bytes | None = None


class MonitorStates:
    """The states of all monitors.

    Args:
        ledger: Holds the windows examined so far, each with the state before it and the state after it.
        blobs: Holds the states.
    """

    def __init__(self, ledger: Ledger, blobs: BlobStore) -> None:
        self._ledger, self._blobs = ledger, blobs

    def before(self, monitor: str, window: Window) -> str:
        """Return the digest of the state that belongs before a window; empty for none.

        A window that was examined before gets the state that it got then, whatever was examined since.
        """
        examined = examined_windows(self._ledger, window.endpoint)
        theirs = [each for each in examined if each.monitor == monitor and each.version == window.version]
        for each in theirs:
            if (each.start, each.end) == (window.start, window.end) and each.state_before is not None:
                return each.state_before
        start, end = _time(window.start), _time(window.end)
        earlier = [each for each in theirs if _time(each.end) <= start and (each.look or 1) == 1]
        if not earlier:
            return ""
        nearest = max(earlier, key=lambda each: (_time(each.end), -abs(_length(each) - (end - start))))
        return nearest.state

    def load(self, digest: str) -> Any:
        """Return a state by its digest; None for none, or where an erasure removed it."""
        if not digest:
            return None
        try:
            state = msgspec.json.decode(self._blobs.get(digest), type=_State)
        except Erased:
            return None
        return state.value if state.content is None else state.content

    def store(self, state: Any) -> str:
        """Store a state and return its digest; empty for None."""
        if state is None:
            return ""
        stored = _State(content=state) if isinstance(state, bytes) else _State(value=state)
        return self._blobs.put(msgspec.json.encode(stored))


def _time(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


def _length(window: WindowExamined) -> timedelta:
    return _time(window.end) - _time(window.start)
