"""Points of the space that a trainer's options suggest for a search, as records of these options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from mlopsfw.training.search.space import Dimension, Space


def points(config: Any) -> Iterator[Any]:
    """Yield a record with the first end of each option of its `search_space`, with the last, and with values drawn between; none without a space.

    Raises:
        PluginError: What the record suggests is no space.
        msgspec.ValidationError: The record refuses a point of it.
    """
    space = Space.of({"own": getattr(config, "search_space", None) or {}}, {}).trainers["own"]
    draw = np.random.default_rng(0)
    if space:
        for end in (0, -1):
            yield _with(config, {name: (each.choices or (each.low, each.high))[end] for name, each in space.items()})
        yield _with(config, {name: _drawn(each, draw) for name, each in space.items()})


def _drawn(dimension: Dimension, draw: np.random.Generator) -> Any:
    """Return a value that a search may try."""
    if dimension.choices:
        return dimension.choices[draw.integers(len(dimension.choices))]
    low, high = float(dimension.low or 0), float(dimension.high or 0)
    value = float(np.exp(draw.uniform(np.log(low), np.log(high))) if dimension.log else draw.uniform(low, high))
    return round(value) if dimension.whole else value


def _with(config: Any, point: Mapping[str, Any]) -> Any:
    """Return a record with other values; `params.C` is `C` in its table `params`."""
    options = msgspec.to_builtins(config)
    for name, value in point.items():
        *tables, last = name.split(".")
        inner = options
        for table in tables:
            inner = inner.setdefault(table, {})
        inner[last] = msgspec.to_builtins(value)
    return msgspec.convert(options, type(config))
