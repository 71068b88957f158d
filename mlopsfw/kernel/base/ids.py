"""Identifiers: the ones we allocate, and the rules for the ones that users choose."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable

from mlopsfw.kernel.base.errors import UsageError

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_FAR = 1 << 20
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))})


def new_run_id(milliseconds: int | None = None, rest: bytes = b"") -> str:
    """Return a run id: a ULID of 48 bits of milliseconds (now) and 80 bits of `rest` (random)."""
    number = (int(time.time() * 1000) if milliseconds is None else milliseconds) << 80
    number |= int.from_bytes(rest[:10] or os.urandom(10), "big")
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
    """Return a hint with the nearest of `choices` to `name`, or with all of them if none is near.

    Near is one edit for four letters of the longer one, and one in three. Two swapped letters are one edit, and
    capitals count as small letters.
    """
    names = sorted(choices)
    edits, close = min(((_edits(name.lower(), choice.lower()), choice) for choice in names), default=(_FAR, ""))
    if edits < _FAR:
        return f"Did you mean {close!r}?"
    return f"Known: {', '.join(names)}." if names else "There are none yet."


def _edits(a: str, b: str) -> int:
    """Return how many edits lie between two texts, `_FAR` for texts that are not near."""
    longer = max(len(a), len(b))
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    most, a, b = longer // 4 or longer // 3, a[same:], b[same:]
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a):
        if min(rows[-1]) > most or abs(len(a) - len(b)) > most:
            return _FAR
        rows.append([i + 1])
        for j, y in enumerate(b):
            swapped = rows[i - 1][j - 1] if i and j and (x, y) == (b[j - 1], a[i - 1]) else _FAR
            rows[-1].append(min(rows[i][j] + (x != y), rows[i][j + 1] + 1, rows[-1][j] + 1, swapped + 1))
    return rows[-1][-1] if rows[-1][-1] <= most else _FAR
