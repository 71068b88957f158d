"""Events to stored bytes and back. One entry is one line of JSON that begins with the sum of the rest of it.

Stored bytes are never rewritten, so the chain is over bytes, not over values: `prev` is the sha256 of the whole line
before. The sum in the line itself means that a flipped bit is seen even in the newest entry, which nothing else points
at yet.
NaN and infinity are written as null: JSON has no word for them.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from mlopsfw.kernel.base.errors import ChainBroken, DataError, LedgerError, NewerVersion
from mlopsfw.kernel.base.nesting import TOO_DEEP, is_too_deep
from mlopsfw.kernel.roles.event import Event

_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()

_HEAD = b'{"sum":"'
_REST = len(_HEAD) + 64 + 2  # past the sum and its `",`


def encode(event: Event) -> bytes:
    """Return the line to store.

    Raises:
        TypeError: The body holds what JSON cannot say.
        DataError: It is nested too deeply to be read again.
    """
    try:
        plain = _encoder.encode(event)
    except RecursionError:
        raise _refused(event) from None
    if is_too_deep(plain):
        raise _refused(event)
    return b'%s%s",%s' % (_HEAD, sha256(plain).hexdigest().encode(), plain[1:])


def _refused(event: Event) -> DataError:
    return DataError(f"{event.stream}: the body of {event.type} has {TOO_DEEP}", hint="Keep it in a blob instead.")


def digest(line: bytes) -> str:
    """Return what the next entry carries as `prev`."""
    return sha256(line).hexdigest()


def decode(line: bytes, where: str) -> Event:
    """Return the event as it was written.

    Raises:
        ChainBroken: The line is not what was written.
        LedgerError: It is nested too deeply to be read.
        NewerVersion: It has fields that this release does not know.
    """
    plain = b"{" + line[_REST:]
    if line[:_REST] != b'%s%s",' % (_HEAD, sha256(plain).hexdigest().encode()):
        raise ChainBroken(
            f"{where} does not match its checksum", hint="Run `mlopsfw audit verify`, and restore it from a copy."
        )
    if is_too_deep(plain):
        raise LedgerError(f"{where} has {TOO_DEEP}", hint="Correct what wrote it, and restore the ledger from a copy.")
    try:
        return _decoder.decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NewerVersion(f"{where} was written by a newer mlopsfw: {error}", hint="Upgrade mlopsfw.") from None
