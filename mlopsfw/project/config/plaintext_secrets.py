"""Refuse secrets in plain text: every text of `mlopsfw.toml` and of `--set`, whichever plugin reads it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import Any, NamedTuple

from mlopsfw.privacy.credentials import credential_in, is_secret_name
from mlopsfw.privacy.secrets import is_reference, scheme_hint

HINT = 'Write a reference: "env:NAME" for a variable, or "file:PATH". Replace a secret that others may have seen.'

_NAMES = frozenset(
    {"pii", "inputs", "types", "columns", "dtypes", "rename"}
)  # tables whose keys name columns or values
_OPTIONS = 2  # parts of a key above an option, as in steps.NAME and alerter.webhook: those are names that users choose
_STORES = "secrets"
_PUBLIC = frozenset({"user", "username", "name", "type", "region"})


class PlaintextSecret(NamedTuple):
    """A secret in plain text: the dotted key of its option, what gives it away, and what to do. No part of its text."""

    key: str
    problem: str
    hint: str


def plaintext_secrets(value: Any, stores: Collection[str] = ()) -> Iterator[PlaintextSecret]:
    """Yield each secret that a configuration holds in plain text, and each reference of a secret store to a store.

    Args:
        value: A table.
        stores: The schemes of the secret stores. They are looked at only where a text may be a secret.
    """
    for key, text, path in _texts(value):
        place = path[2:] if path[:1] == ("env",) else path
        if is_reference(text):
            continue
        if place[:1] == (_STORES,) and ":" in text and is_reference(text, stores):
            yield PlaintextSecret(key, "is a reference to a secret store, which a store's own options cannot be", HINT)
        elif problem := _problem(text, place, stores):
            yield PlaintextSecret(key, problem, HINT + scheme_hint(text, stores))


def _texts(value: Any, key: str = "", path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield key and text, and the key without the numbers of arrays."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}" if key else name, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{key}.{number}", (*path, *_kind(inner)))
    elif isinstance(value, str) and value.strip():
        yield key, value, path


def _kind(table: Any) -> tuple[str, ...]:
    """Return the kind of a provider in an array of tables whose options stand beside `use`."""
    use = table.get("use") if isinstance(table, dict) else None
    return (use,) if isinstance(use, str) and not isinstance(table.get(use), dict) else ()


def _problem(text: str, path: tuple[str, ...], stores: Collection[str]) -> str:
    refers = partial(is_reference, stores=stores)
    credential = credential_in(text, refers)
    problem = f"holds {credential}" if credential else _problem_by_name(path)
    return "" if problem and refers(text) else problem


def _problem_by_name(path: tuple[str, ...]) -> str:
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
