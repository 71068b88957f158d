"""The keyed hash under which personal values are kept and found again: HMAC-SHA256, hex."""

from __future__ import annotations

import hmac


def keyed_hash(key: bytes, text: str) -> str:
    """Return the keyed hash of a text, 64 hex digits."""
    return hmac.digest(key, text.encode(), "sha256").hex()
