"""Environment variables in a cache key: each by a digest from which its value cannot be guessed in passing."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable

_ROUNDS = 100_000
"""About 30 ms a variable. The digest goes to the ledger, the value may be a short secret, and nodes must agree without a key."""


def variables(names: Iterable[str]) -> dict[str, str]:
    """Return each environment variable with the digest of its value (hex), empty if it is not set."""
    return {
        name: "" if (value := os.environ.get(name)) is None else _digest(name, value) for name in sorted(set(names))
    }


@functools.lru_cache(64)
def _digest(name: str, value: str) -> str:
    salt = f"mlopsfw environment variable\0{name}"
    return hashlib.pbkdf2_hmac("sha256", os.fsencode(value), os.fsencode(salt), _ROUNDS).hex()
