"""Identifiers: the ones we allocate, and the rules for the ones that users choose."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable

from mlopsfw.kernel.base.errors import UsageError

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))})


def new_run_id() -> str:
    """Return a new run id: 26 characters that sort by time (48 bits of milliseconds, 80 random bits; ULID)."""
    number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def new_event_id() -> str:
    """Return 32 random hex digits."""
    return os.urandom(16).hex()


def check_name(name: str, what: str = "name") -> str:
    """Return `name` if it can name a model, dataset, endpoint or step on every store. Raise `UsageError`."""
    if _NAME.fullmatch(name) and not name.endswith(".") and name.split(".", 1)[0] not in _RESERVED:
        return name
    raise UsageError(
        f"{what} {name!r} cannot be used",
        hint="Use lower-case letters, digits, '-', '_' and '.'. Begin with a letter or digit; 100 characters at most.",
    )


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return a hint with the nearest of `choices` to `name`, or with all of them if none is near."""
    import difflib  # only on the way to an error

    names = sorted(choices)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "There are none yet."
