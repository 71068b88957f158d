"""Say which plugin raised: its exceptions keep their type and traceback, and gain a note that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlopsfw.plugins.catalog import Claim


@contextmanager
def blaming(claim: Claim, where: str) -> Iterator[None]:
    """Add "raised by plugin 'x' (dist 1.2) in WHERE" to whatever exception passes, once."""
    try:
        yield
    except Exception as error:
        blame(error, claim, where)
        raise


def blame(error: Exception, claim: Claim, where: str) -> None:
    """Add the note, unless a plugin nearer to the fault is named already."""
    if not any(note.startswith("raised by plugin ") for note in getattr(error, "__notes__", ())):
        error.add_note(f"raised by {claim} in {where}")


class Blamed:
    """What a provider built, unchanged but for the blame: attributes are its own, methods and their iterators are watched."""

    __slots__ = ("__dict__", "_built", "_claim", "_role")

    def __init__(self, built: Any, claim: Claim, role: str) -> None:
        self._built, self._claim, self._role = built, claim, role

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._built, name)
        if not callable(value) or name.startswith("_"):
            return value
        watched = _watched(value, self._claim, f"{self._role.capitalize()}.{name}")
        self.__dict__[name] = watched  # the next look-up finds it without coming here
        return watched

    def __repr__(self) -> str:
        return f"<{self._built!r} of {self._claim}>"


def _watched(method: Callable[..., Any], claim: Claim, where: str) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            result = method(*args, **kwargs)
        except Exception as error:
            blame(error, claim, where)
            raise
        return _watched_iterator(result, claim, where) if isinstance(result, Iterator) else result

    return call


def _watched_iterator(items: Iterator[Any], claim: Claim, where: str) -> Iterator[Any]:
    with blaming(claim, where):
        yield from items
