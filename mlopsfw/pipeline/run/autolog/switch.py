"""`autolog`, and the runs that are watched."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.run.autolog.estimators import Estimators
from mlopsfw.pipeline.run.autolog.hooks import Hooks
from mlopsfw.pipeline.run.autolog.optimizers import Optimizers
from mlopsfw.pipeline.run.autolog.sink import Sink
from mlopsfw.pipeline.run.current import Current

if TYPE_CHECKING:
    from mlopsfw.pipeline.run.number_log import NumberLog


class Watch:
    """A run, or an attempt of a step, that is open.

    Args:
        log: Takes its numbers.
        params: Takes its parameters.
    """

    def __init__(self, log: NumberLog, params: Callable[[Mapping[str, Any]], None] | None) -> None:
        self._log, self._params = log, params
        self.by: autolog | None = None

    def begin(self, by: autolog) -> None:
        """Watch it from now on."""
        self._sink = Sink(self._log, self._params, by.every)
        self.optimizers, self.estimators = Optimizers(self._sink), Estimators(self._sink)
        self.by = by

    def failed(self, error: Exception) -> None:
        """Take an error of autologging itself."""
        self._sink.failed(error)


_open: Current[Watch] = Current("autolog")
_lock = threading.Lock()
_everywhere: list[autolog] = []  # switched on outside of any run
_watches: list[Watch] = []  # that are watched now


def _watched() -> Watch | None:
    """Return the watched run that this thread's work belongs to."""
    try:
        watch = _open.get()
    except UsageError:  # several are open, and none in this thread
        return None
    return watch if watch is not None and watch.by is not None else None


_hooks = Hooks(_watched)


@contextlib.contextmanager
def watching(log: NumberLog, params: Callable[[Mapping[str, Any]], None] | None = None) -> Iterator[None]:
    """Watch a run inside the block, if `autolog` is on or is switched on in it."""
    watch = Watch(log, params)
    if _everywhere:
        _begin(watch, _everywhere[-1])
    try:
        with _open.open(watch):
            yield
    finally:
        _end(watch)


def _begin(watch: Watch, by: autolog) -> None:
    with _lock:
        watch.begin(by)
        if watch not in _watches:
            _watches.append(watch)
        _hooks.place()


def _end(watch: Watch) -> None:
    with _lock:
        watch.by = None
        if watch in _watches:
            _watches.remove(watch)
        if not _watches:
            _hooks.remove()


class autolog:  # noqa: N801 - reads as a call: mlopsfw.autolog()
    """Log what torch and scikit-learn do in a run, without a line in the loop.

    In an open run or step it holds until that ends, elsewhere for every run of this process. As a `with` block, or by `close`, it ends earlier.

    Args:
        every: Look at each step of a torch optimizer whose number this divides; 0 for as often as costs at most 1% of the run's time.

    Raises:
        UsageError: `every` is negative.
    """

    def __init__(self, *, every: int = 0) -> None:
        if every < 0:
            raise UsageError(f"autolog: every is {every}", hint="Write 1 for each step, or leave it out.")
        self.every = every
        watch = _open.get()
        if watch is None:
            _everywhere.append(self)
        else:
            _begin(watch, self)

    def close(self) -> None:
        """Stop. Open runs are watched no longer."""
        if self in _everywhere:
            _everywhere.remove(self)
        for watch in [each for each in _watches if each.by is self]:
            _end(watch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
