"""JSON in, strictly: RFC 8259, typed, no deeper than it needs to be, with a complaint that a client can act on."""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

import msgspec

from mlopsfw_deployer_http.message import JSON, Refusal, Request

T = TypeVar("T")

_LONGEST_INT = 400  # digits; Python reads 4300 at most, and 20 are more than any column holds


def read(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the body as `decoder` reads it.

    Raises:
        Refusal: 415 for another content type or an encoded body; 400 for what is not JSON, too deep, or of another shape.
    """
    kind = request.headers.get(b"content-type", b"")
    if kind != JSON and kind.partition(b";")[0].strip().lower() != JSON:
        raise Refusal(415, "the body must be JSON: send `Content-Type: application/json`")
    if b"content-encoding" in request.headers:
        raise Refusal(415, "encoded bodies are not supported: send it without Content-Encoding")
    try:
        return decoder.decode(request.body)
    except msgspec.ValidationError as error:
        if "out of range" in str(error):  # a number, not what stands around it: whoever knows its column complains
            return _with_numbers_named(request.body, decoder)
        raise Refusal(400, f"the body is not a valid request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None


class OutOfRange:
    """A number of a body that neither a double nor any integer of ours holds. It is a value of no column's type.

    Args:
        literal: As it was written.
    """

    def __init__(self, literal: str) -> None:
        self._literal = literal

    def __repr__(self) -> str:
        return self._literal if len(self._literal) <= 20 else f"{self._literal[:20]}…"  # noqa: PLR2004 - enough to find it


def _with_numbers_named(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a body again, with an `OutOfRange` in the place of each number that cannot be: the slow way, for few."""
    try:
        value = json.loads(body.decode(), parse_float=_float, parse_int=_int, parse_constant=_constant)
        return msgspec.convert(value, decoder.type)
    except msgspec.ValidationError as error:
        reason = str(error).replace(f"got `{OutOfRange.__name__}`", "got a number out of range")
        raise Refusal(400, f"the body is not a valid request: {reason}") from None
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None


def _float(literal: str) -> Any:
    value = float(literal)
    return value if math.isfinite(value) else OutOfRange(literal)


def _int(literal: str) -> Any:
    return int(literal) if len(literal) <= _LONGEST_INT else OutOfRange(literal)


def _constant(literal: str) -> Any:
    raise ValueError(f"{literal} is no number of JSON")
