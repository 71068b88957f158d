"""Canonical JSON: equal values have equal bytes, and come back as they were. `json` artifacts and cache keys use it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import DataError

_FLOAT = "$float"
_INT64 = 1 << 63
NOT_FINITE = b'{"$float":'
"""How a number that is not finite begins where it is encoded. No text has it: its quotes are escaped there."""


def encode(value: Any, what: str = "value") -> bytes:
    """Return canonical JSON: keys sorted, no spaces, not-a-number and the infinities as `{"$float": "nan"}`.

    Raises:
        DataError: Something in it is no JSON value, named by its path below `what`.
    """
    return msgspec.json.encode(_plain(value, what), order="sorted")


def decode(data: bytes) -> Any:
    """Read what `encode` wrote. Tuples have become lists."""
    return _restored(msgspec.json.decode(data))


def not_finite(value: Any, path: str) -> str:
    """Return the path below `path` of the first number in a JSON value that is NaN or infinite; empty where there is none."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else path
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    return next(filter(None, (not_finite(item, f"{path}[{key!r}]") for key, item in items)), "")


def finite(value: Any) -> Any:
    """Return a JSON value with infinity and NaN as texts such as "inf": JSON has no such numbers, and null means a missing value."""
    if isinstance(value, Mapping):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any, path: str) -> Any:  # noqa: PLR0911 - one for each kind
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str.__str__(value), path)  # a text enum is its text
    if isinstance(value, int):
        return int(value) if -_INT64 <= value < _INT64 else _refuse(path, "an integer beyond 64 bits")
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: str(float(value))}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, msgspec.Struct):
        return _plain(msgspec.to_builtins(value), path)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return _plain(value.item(), path)
    return _refuse(path, f"a {type(value).__module__}.{type(value).__qualname__}")


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str) or key == _FLOAT:
        _refuse(path, f"the key {key!r}")
    return _text(str(key), f"a key of {path}")


def _text(text: str, path: str) -> str:
    if half := None if text.isascii() else next((c for c in text if "\ud800" <= c <= "\udfff"), None):
        _refuse(path, f"a text with {half!r}, half of a surrogate pair without the other half")
    return text


def _refuse(path: str, what: str) -> Any:
    raise DataError(
        f"{path} is {what}, which JSON cannot hold",
        hint="Return a table, a path or a bundle; or text, numbers, lists and dicts whose keys are text.",
    )


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if isinstance(value, dict):
        return (
            float(value[_FLOAT]) if value.keys() == {_FLOAT} else {key: _restored(item) for key, item in value.items()}
        )
    return value
