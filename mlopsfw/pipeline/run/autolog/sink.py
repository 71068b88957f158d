"""Where autologging writes, and how much time it may take."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlopsfw.pipeline.run.number_log import NumberLog

_FREE, _SHARE = 0.2, 0.01  # seconds that each run may spend, and beyond them the share of its time
_MOST_PARAMS, _LONGEST, _DEEPEST = 500, 250, 4


class Sink:
    """What autologging writes to.

    Args:
        log: Takes the numbers.
        params: Takes parameters; None in a step of a pipeline, which has its own.
        every: Look at each step of an optimizer whose number this divides; 0 for as often as costs at most 1% of the run's time.
    """

    def __init__(self, log: NumberLog, params: Callable[[Mapping[str, Any]], None] | None, every: int) -> None:
        self.log, self._params, self.every = log, params, every
        self._began, self._spent, self._failed = time.perf_counter(), 0.0, False

    def params(self, prefix: str, values: Mapping[str, Any]) -> None:
        """Keep parameters as `PREFIX.NAME`."""
        if self._params is not None:
            few = list(values.items())[:_MOST_PARAMS]
            self._params({f"{prefix}.{name}": plain(value) for name, value in few if str(name).isprintable()})

    def due(self) -> bool:
        """Return whether there is time to look at another step."""
        return self._spent <= _FREE + _SHARE * (time.perf_counter() - self._began)

    def spend(self, seconds: float) -> None:
        """Count time that was taken."""
        self._spent += seconds

    def failed(self, error: Exception) -> None:
        """Say once that something could not be logged: autologging never ends what it looks at."""
        if not self._failed and sys.stderr is not None:
            self._failed = True
            text = " ".join(str(error).split())[:_LONGEST]
            sys.stderr.write(f"mlopsfw.autolog: something was not logged: {type(error).__name__}: {text}\n")


def plain(value: object, depth: int = 0) -> Any:
    """Return a value as JSON: numbers, texts and short lists of them as they are, of anything else only what it is.

    A table or an array among the parameters may hold rows of people.
    """
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a scalar of NumPy or torch
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value[:_LONGEST]
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [plain(each, depth + 1) for each in _first(value)]
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {str(name): plain(each, depth + 1) for name, each in _first(value.items())}
    return name_of(value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value))


def _first(values: Iterable[Any]) -> list[Any]:
    return [each for each, _ in zip(values, range(_LONGEST), strict=False)]


def name_of(kind: Any) -> str:
    """Return the full name of a class or function."""
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', kind)}".lstrip(".")
