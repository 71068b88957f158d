"""Strict JSON input: RFC 8259, typed, of bounded depth, with errors on which a client can act."""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

import msgspec

from mlopsfw.formats import json_fault
from mlopsfw_deployer_http.message import JSON, Refusal, Request
from mlopsfw_deployer_http.pieces import Steps, decoded, within

T = TypeVar("T")

MOST_ROWS = 1_000_000  # of a request: a row takes hundreds of bytes of memory, however short it is in the body
MOST_EXPLAINED = 1_000  # each costs hundreds of answers
_PATIENCE = 10.0  # seconds that explanations of one request may take: far less than what counts as a hang
_LONGEST_INT = 400  # digits; Python reads at most 4300, and no column holds 20


def read(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the body, decoded by `decoder`.

    Raises:
        Refusal: 415 for another content type or an encoded body; 400 for a body that is not JSON, too deep, or of another shape.
    """
    _check_kind(request)
    try:
        return decoder.decode(request.body)
    except msgspec.ValidationError as error:
        if "out of range" in str(error):  # the number itself is wrong: the check of its column names it
            return _with_numbers_named(request.body, decoder)
        raise Refusal(400, f"the body is not a valid request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is not JSON: {json_fault(request.body, error)}") from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None


def read_in_steps(request: Request, decoder: msgspec.json.Decoder[T]) -> Steps[T]:
    """Return what `read` returns, decoded in pieces."""
    _check_kind(request)
    try:
        value = yield from decoded(request.body)
        converted: T = msgspec.convert(value, decoder.type)  # annotated: msgspec 0.23 types `decoder.type` as Any
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return read(request, decoder)  # names the place
    return converted


def check_rows(columns: dict[str, list[Any]], *, explain: bool = False) -> dict[str, list[Any]]:
    """Return the columns of a request. Raise `Refusal` where they have too many rows to answer, or to explain."""
    rows = max(map(len, columns.values()), default=0)
    most, what = (MOST_EXPLAINED, " to explain") if explain else (MOST_ROWS, "")
    if rows > most:
        raise Refusal(413, f"the body holds {rows} rows{what}; send at most {most} at a time")
    return columns


def explained_in_time(parts: Steps[T], *, explain: bool) -> Steps[T]:
    """Return scores with explanations, if those are asked for, in time. Raise `Refusal` where they take too long."""
    late = Refusal(413, f"the explanations take longer than {_PATIENCE:g} s; send fewer rows at a time")
    return (yield from (within(parts, _PATIENCE, late) if explain else parts))


def _check_kind(request: Request) -> None:
    kind = request.headers.get(b"content-type", b"")
    if kind != JSON and kind.partition(b";")[0].strip().lower() != JSON:
        raise Refusal(415, "the body must be JSON: send `Content-Type: application/json`")
    if b"content-encoding" in request.headers:
        raise Refusal(415, "encoded bodies are not supported: send it without Content-Encoding")


class OutOfRange:
    """A number of a body that fits neither a double nor 64 bits. No column's type accepts it.

    Args:
        literal: Its text in the body.
    """

    def __init__(self, literal: str) -> None:
        self._literal = literal

    def __repr__(self) -> str:
        return self._literal if len(self._literal) <= 20 else f"{self._literal[:20]}…"  # noqa: PLR2004 - enough to find it


def _with_numbers_named(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a body again, with an `OutOfRange` in place of each number that is out of range. Slow, but rare."""
    try:
        value = json.loads(body.decode(), parse_float=_float, parse_int=_int, parse_constant=_constant)
        converted: T = msgspec.convert(value, decoder.type)  # annotated: msgspec 0.23 types `decoder.type` as Any
    except msgspec.ValidationError as error:
        reason = str(error).replace(f"got `{OutOfRange.__name__}`", "got a number out of range")
        raise Refusal(400, f"the body is not a valid request: {reason}") from None
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None
    return converted


def _float(literal: str) -> Any:
    value = float(literal)
    return value if math.isfinite(value) else OutOfRange(literal)


def _int(literal: str) -> Any:
    return int(literal) if len(literal) <= _LONGEST_INT else OutOfRange(literal)


def _constant(literal: str) -> Any:
    raise ValueError(f"{literal} is no number of JSON")
