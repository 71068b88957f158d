"""JSON in, strictly: RFC 8259, typed, no deeper than it needs to be, with a complaint that a client can act on."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from mlopsfw_deployer_http.message import JSON, Refusal, Request

T = TypeVar("T")


def read(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the body as `decoder` reads it.

    Raises:
        Refusal: 415 for another content type or an encoded body; 400 for what is not JSON, too deep, or of another shape.
    """
    kind = request.headers.get(b"content-type", b"")
    if kind != JSON and kind.partition(b";")[0].strip().lower() != JSON:
        raise Refusal(415, "the body must be JSON: send `Content-Type: application/json`")
    if b"content-encoding" in request.headers:
        raise Refusal(415, "an encoded body is not read: send it without Content-Encoding")
    try:
        return decoder.decode(request.body)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"the body is not such a request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None
