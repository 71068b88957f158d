"""Refuse secrets in clear: every text of `mlopsfw.toml` and of `--set`, whichever plugin reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlopsfw.kernel.config.secrets import credential_in, is_reference, is_secret_name

HINT = 'Write a reference: "env:NAME" for a variable, or "file:PATH". Replace a secret that others may have seen.'

_NAMES = frozenset(
    {"pii", "inputs", "types", "columns", "dtypes", "rename"}
)  # tables whose keys name columns or values
_OPTIONS = 2  # parts of a key above an option, as in steps.NAME and alerter.webhook: those are names that users choose
_PUBLIC = frozenset({"user", "username", "name", "type", "region"})


def secrets_in_clear(value: Any, key: str = "", path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the dotted key of each secret that a configuration holds in clear, and what gives it away.

    Args:
        value: A table, an array or a value.
        key: Where it stands.
        path: The same without the numbers of arrays.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from secrets_in_clear(inner, f"{key}.{name}" if key else name, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from secrets_in_clear(inner, f"{key}.{number}", (*path, *_kind(inner)))
    elif isinstance(value, str) and value.strip() and not is_reference(value):
        problem = _problem(value, path[2:] if path[:1] == ("env",) else path)
        if problem:
            yield key, problem


def _kind(table: Any) -> tuple[str, ...]:
    """Return the kind of a provider in an array of tables whose options stand beside `use`."""
    use = table.get("use") if isinstance(table, dict) else None
    return (use,) if isinstance(use, str) and not isinstance(table.get(use), dict) else ()


def _problem(text: str, path: tuple[str, ...]) -> str:
    credential = credential_in(text)
    if credential:
        return f"holds {credential}"
    *above, name = path or ("",)
    if not _NAMES.isdisjoint(above):
        return ""
    if is_secret_name(name):
        return "holds a secret in plain text"
    if "headers" in above and name.lower().startswith(("x-", "cookie", "authorization", "proxy-auth")):
        return "holds the value of a header in plain text"
    if name not in _PUBLIC and any(map(is_secret_name, above[_OPTIONS:])):
        return "holds a secret in plain text"
    return ""
