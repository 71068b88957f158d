"""The border at which the kernel calls a plugin: an error names the plugin, and nothing that it raises ends mlopsfw.

An `Exception` keeps its type and traceback and gains a note. `SystemExit`, a `KeyboardInterrupt` of the plugin's own
and every other `BaseException` would pass all who handle errors, so they become `PluginAborted`. A real Ctrl-C passes
as it is.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mlopsfw.kernel.base import interrupts
from mlopsfw.kernel.base.errors import MlopsfwError, PluginAborted, PluginError, text_of
from mlopsfw.kernel.roles.names import KINDS

if TYPE_CHECKING:
    from mlopsfw.kernel.plugins.catalog import Claim

_BLAME = "raised by plugin "
TRACED = os.environ.get("MLOPSFW_TRACE_PLUGINS", "0") not in ("", "0")
_FREQUENT = {"model", *(kind.name for kind in KINDS.values() if kind.frequent)}


class PluginWarning(RuntimeWarning):
    """A plugin failed, and mlopsfw goes on without it. The command line prints the text alone."""


def warn(text: str) -> None:
    """Warn the user about a plugin, in one line."""
    warnings.warn(" ".join(text.split()), PluginWarning, stacklevel=3)


class Border:
    """A call of a plugin, as a context: what it raises becomes a plain exception that names plugin and place.

    Args:
        claim: The plugin.
        where: What is called.
        traced: Whether the call is written to stderr with its time.
    """

    __slots__ = ("_began", "_claim", "_counted", "_installed", "_traced", "_where")

    def __init__(self, claim: Claim, where: str, *, traced: bool = TRACED) -> None:
        self._claim, self._where, self._traced = claim, where, traced

    def __enter__(self) -> Self:
        self._began = time.perf_counter() if self._traced else 0.0
        self._installed = interrupts.install()
        self._counted = interrupts.counted()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                _judge(error, self._claim, self._where, self._counted)
        finally:
            if self._installed:
                interrupts.uninstall()
            if self._traced:
                ms, end = 1000 * (time.perf_counter() - self._began), f" {type(error).__name__}" if error else ""
                sys.stderr.write(f"{self._claim.key} {self._where} {ms:.1f} ms{end}\n")


def _judge(error: BaseException, claim: Claim, where: str, counted: int) -> None:
    """Return where `error` may pass, blamed or as it is; else raise what stands for it.

    Args:
        error: What a plugin raised.
        claim: The plugin.
        where: What was called.
        counted: How many signals had asked this process to stop before the call.
    """
    if isinstance(error, KeyboardInterrupt) and not interrupts.can_tell():
        return
    if interrupts.counted() != counted:
        if not isinstance(error, KeyboardInterrupt):  # what the plugin made of a Ctrl-C
            raise KeyboardInterrupt from error
    elif isinstance(error, Exception):
        if isinstance(error, PluginError) or not (KINDS[claim.kind].about_data and isinstance(error, MlopsfwError)):
            blame(error, claim, where)
    else:
        aborted = PluginAborted(
            f"{text_of(error)} was raised, which would have ended mlopsfw",
            hint="A plugin must not end the process. Raise an error of mlopsfw.errors; a command calls ctx.exit(CODE).",
        )
        blame(aborted, claim, where)
        raise aborted from error


def blaming(claim: Claim, where: str) -> Border:
    """Return the border around a call of `claim`."""
    return Border(claim, where)


def blame(error: Exception, claim: Claim, where: str) -> None:
    """Add the note, unless a plugin nearer to the fault is named already."""
    if not is_blamed(error):
        error.add_note(f"{_BLAME}{str(claim).removeprefix('plugin ')} in {where}")


def blame_built(built: object, error: Exception, method: str) -> None:
    """Blame the plugin that built `built` for what its `method` gave back, if a plugin did."""
    if isinstance(built, Blamed):
        blame(error, built._claim, f"{built._role.capitalize()}.{method}")  # noqa: SLF001 - of this module


def is_blamed(error: BaseException) -> bool:
    """Return whether a plugin was named as the culprit."""
    return bool(blame_of(error))


def blame_of(error: BaseException) -> str:
    """Return which plugin was named as the culprit, and where; empty where none was."""
    return next((note for note in getattr(error, "__notes__", ()) if note.startswith(_BLAME)), "")


def _part(role: str, method: str) -> str:
    """Return what the object is that `method` returns, where the kernel calls its methods too."""
    return dict(KINDS[role].parts).get(method, "") if role in KINDS else ""


class Blamed:
    """What a provider built, behind the border: methods, their iterators and their parts are watched."""

    __slots__ = ("__dict__", "_built", "_claim", "_role")

    def __init__(self, built: Any, claim: Claim, role: str) -> None:
        self._built, self._claim, self._role = built, claim, role

    def __getattr__(self, name: str) -> Any:
        where = f"{self._role.capitalize()}.{name}"
        with Border(self._claim, where, traced=False):
            value = getattr(self._built, name)
        if not callable(value) or name.startswith("_"):
            return value
        guard = _lightly if self._role in _FREQUENT and not TRACED else watched
        call = guard(value, self._claim, where, part=_part(self._role, name))
        self.__dict__[name] = call  # the next look-up finds it without coming here
        return call

    def __repr__(self) -> str:
        return f"<{self._built!r} of {self._claim}>"


def watched(method: Callable[..., Any], claim: Claim, where: str, *, part: str = "") -> Callable[..., Any]:
    """Return `method` behind the border.

    Args:
        method: A function of the plugin's.
        claim: The plugin.
        where: What errors call the function.
        part: What the object is that it returns, where the kernel calls that object's methods too.
    """

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with Border(claim, where):
            result = method(*args, **kwargs)
        return _returned(result, claim, where, part)

    return call


def _lightly(method: Callable[..., Any], claim: Claim, where: str, *, part: str = "") -> Callable[..., Any]:
    """Do as `watched` does, for less."""

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        counted = interrupts.counted()
        try:
            result = method(*args, **kwargs)
        except BaseException as error:
            _judge(error, claim, where, counted)
            raise
        return _returned(result, claim, where, part)

    return call


def _returned(result: Any, claim: Claim, where: str, part: str) -> Any:
    if isinstance(result, Iterator):
        return _Watched(result, claim, where)
    if not part or result is None:
        return result
    if isinstance(result, list | tuple):
        return [Blamed(each, claim, part) for each in result]
    return Blamed(result, claim, part)


class _Watched:
    """A plugin's iterator behind the border.

    It is no generator: one that is closed early could not tell that from a plugin's own `GeneratorExit`. Nor is each
    item worth a `Border`: there may be millions.
    """

    __slots__ = ("_claim", "_counted", "_items", "_where")

    def __init__(self, items: Iterator[Any], claim: Claim, where: str) -> None:
        self._items, self._claim, self._where = items, claim, where
        self._counted = interrupts.counted()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._items)
        except StopIteration:
            raise
        except BaseException as error:
            _judge(error, self._claim, self._where, self._counted)
            raise

    def close(self) -> None:
        """Let the plugin clean up after what nobody goes on with."""
        close = getattr(self._items, "close", None)
        if close is not None:
            with Border(self._claim, self._where):
                close()
