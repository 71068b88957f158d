"""Say what is wrong with a value of the configuration in the words of TOML, with the key and the nearest name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.base.ids import nearest

_WORDS = {"object": "table", "str": "string", "int": "integer", "bool": "boolean"}  # what TOML calls them

Fail = Callable[..., ConfigError]


def validation_error(
    error: msgspec.ValidationError | ConfigError, kind: type[Any], key: str, fail: Fail, *, besides: Sequence[str] = ()
) -> ConfigError:
    """Turn a complaint about a value read into `kind` at `key` into a `ConfigError` with the nearest field.

    Args:
        error: The complaint, of msgspec or of the record itself.
        kind: What it was read into.
        key: Where it stands.
        fail: Makes the error.
        besides: Keys that may stand there although `kind` has them not.
    """
    if isinstance(error, ConfigError):
        return fail(error.problem, ".".join(filter(None, (key, error.key))), hint=error.hint)
    message, _, path = str(error).partition(" - at `$")
    inner = re.sub(r"\[(\d+|\.\.\.)\]", r".\1", path.rstrip("`")).strip(".")
    names = [part for part in inner.split(".") if part and not part.isdecimal()]
    unknown = re.search(r"unknown field `([^`]*)`", message)
    where = ".".join(part for part in (key, inner, unknown[1] if unknown else "") if part)
    if unknown:
        fields = getattr(_inside(kind, names), "__struct_fields__", ())
        return fail("unknown key", where, hint=nearest(unknown[1], (*fields, *(() if inner else besides))))
    missing = re.search(r"missing required field `([^`]*)`", message)
    if missing:
        return fail(f"the key `{missing[1]}` is missing", where, hint=f"Add {missing[1]} = … there.")
    if choice := re.fullmatch(r"Invalid enum value '(.*)'", message):
        return fail(
            f"invalid enum value {choice[1]!r}",
            where,
            hint=_choices(get_type_hints(_inside(kind, names[:-1]) or kind).get(names[-1])),
        )
    message = re.sub(r"`([a-z |]+)`", lambda kinds: f"`{_in_toml(kinds[1])}`", message)
    return fail(message[:1].lower() + message[1:], where)


def _inside(hint: Any, path: Sequence[str]) -> Any:
    """Return the record that names of fields lead to, from a record or an annotation with one; None without one."""
    if not hasattr(hint, "__struct_fields__"):
        return next(filter(None, (_inside(inner, path) for inner in get_args(hint))), None)
    return _inside(get_type_hints(hint).get(path[0]), path[1:]) if path else hint


def _choices(hint: Any) -> str:
    """Return a hint with the words that an annotation takes."""
    literals = [each for each in (hint, *get_args(hint)) if get_origin(each) is Literal]
    words = [repr(word) for each in literals for word in get_args(each) if word]
    return f"Choose from {', '.join(words)}." if words else ""


def _in_toml(kinds: str) -> str:
    return " | ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | ") if kind != "null")
