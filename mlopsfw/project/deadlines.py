"""Deadlines: a plugin that hangs holds up nobody but itself."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import ContextVar, copy_context
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from mlopsfw.kernel.base.errors import PluginError, text_of
from mlopsfw.kernel.plugins.blame import blaming, warn
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.project.observer_options import observer_options, record_of

if TYPE_CHECKING:
    from pluggy import HookCaller

    from mlopsfw.kernel.config.model import ProjectConfig
    from mlopsfw.kernel.plugins.catalog import Claim

_GRACE = 1.0  # beyond the plugin's own `timeout`: one that keeps to it says itself what it waited for
T = TypeVar("T")
_Tasks = SimpleQueue[Callable[[], None] | None]


class PluginTimeout(PluginError):
    """A plugin did not return in time."""


class Deadline:
    """Calls functions of one plugin, all on one thread, one after the other, and gives up after some seconds.

    Threads that call at once take turns. A call from within a call runs where it is: the outer call's time counts. Python cannot end a thread. A function that hangs goes on, and until it returns every further call fails at once.

    Args:
        seconds: How long a call may take; the `timeout` of `options` counts before it.
        options: The plugin's options, still unread.
    """

    def __init__(self, seconds: float, options: dict[str, Any]) -> None:
        given = options.get("timeout")
        self._seconds = given + _GRACE if is_limit(given) else seconds
        self._thread: threading.Thread | None = None
        self._turn = threading.Lock()
        self._last: Future[Any] | None = None

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return what the function returns, or raise what it raises. Raise `PluginTimeout` where it does neither."""
        if id(self) in _INSIDE.get():
            return function(*args, **kwargs)
        with self._turn:
            return self._call(partial(function, *args, **kwargs))

    def _call(self, function: Callable[[], T]) -> T:
        if self._last is not None and not self._last.done():
            raise PluginTimeout("an earlier call of it has not returned yet")
        self._last = future = Future[T]()
        context = copy_context()
        context.run(_INSIDE.set, (*_INSIDE.get(), id(self)))

        def run() -> None:
            try:
                future.set_result(context.run(function))
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                future.set_exception(error)

        self._started().put(run)
        if not wait((future,), self._seconds).done:
            raise PluginTimeout(f"it did not return within {self._seconds:g} s", hint="Its `timeout` sets the limit.")
        self._last = None  # what came back may be a secret, and is the caller's alone
        return future.result()

    def _started(self) -> _Tasks:
        """Return the queue of the thread, which is started where there is none, as after a fork."""
        if self._thread is None or not self._thread.is_alive():
            self._tasks: _Tasks = SimpleQueue()
            self._thread = threading.Thread(target=_work, args=(self._tasks,), daemon=True)
            self._thread.start()
            weakref.finalize(self, self._tasks.put, None)
        return self._tasks


_INSIDE: ContextVar[tuple[int, ...]] = ContextVar("_INSIDE", default=())
"""The ids of the deadlines within whose calls this code runs: a thread that waits for work must keep none alive."""


def is_limit(timeout: Any) -> TypeGuard[float]:
    """Return whether a `timeout` is a number of seconds above 0."""
    return isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 < timeout < threading.TIMEOUT_MAX


def _work(tasks: _Tasks) -> None:
    while (task := tasks.get()) is not None:
        task()


class Limited:
    """A provider, each call of which has a deadline. An error names the plugin.

    Args:
        built: The provider, behind the border.
        deadline: Limits the calls.
        claim: The plugin.
    """

    def __init__(self, built: Any, deadline: Deadline, claim: Claim) -> None:
        self._built, self._deadline, self._claim = built, deadline, claim

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._built, name)
        if not callable(value) or name.startswith("_"):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            with blaming(self._claim, f"{self._claim.kind.capitalize()}.{name}"):
                return self._deadline.call(value, *args, **kwargs)

        return call


class ObserverCalls:
    """Calls observers with a deadline each. One that hangs gets no more events: it would cost every event its timeout.

    Args:
        config: Has their options.
    """

    def __init__(self, config: ProjectConfig) -> None:
        self._config = config
        self._deadlines: dict[Claim, Deadline] = {}
        self._hanging: set[Claim] = set()

    def __call__(self, claim: Claim, function: HookCaller, arguments: dict[str, Any]) -> None:
        """Call `mlopsfw_event` of one observer."""
        if claim in self._hanging:
            return
        if claim not in self._deadlines:
            self._deadlines[claim] = Deadline(KINDS["observer"].timeout, arguments["options"])
        if record := record_of(function.get_hookimpls()[0].function):
            arguments = arguments | {"options": observer_options(record, self._config, claim)}
        try:
            self._deadlines[claim].call(function, **arguments)
        except PluginTimeout as error:
            self._hanging.add(claim)
            warn(f"{claim} hangs on {arguments['event'].type} and gets no more events: {text_of(error)}")
