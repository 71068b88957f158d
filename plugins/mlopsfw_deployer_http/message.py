"""Requests and answers as records: what a connection hands to the service and gets back. Knows no socket and no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self

import msgspec

from mlopsfw.errors import DataError, SignatureMismatch

JSON = b"application/json"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"

encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Request:
    """One request, whole.

    Args:
        method: Such as `POST`.
        path: As it was sent, without the query; never decoded, so that no two spellings mean one route.
        headers: Lower-case name → value. A connection refuses a name that is sent twice where that could mislead.
        body: The body, at most as long as the limit.
        client: The address that it came from.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    client: str = ""


@dataclass(slots=True)
class Answer:
    """One answer.

    Args:
        status: HTTP status.
        body: The body.
        kind: Content type.
        headers: Further header lines, each ending in CRLF.
        record: What capture keeps, written before the answer leaves; empty for nothing.
        rows: How many rows `record` holds.
    """

    status: int
    body: bytes
    kind: bytes = JSON
    headers: bytes = b""
    record: bytes = b""
    rows: int = 0


class Refusal(Exception):
    """A request that is answered with an error.

    Args:
        status: 4xx for what the client can mend, 503 for what will pass.
        message: What was wrong, where, and what would be right.
        headers: Further header lines, each ending in CRLF.
    """

    def __init__(self, status: int, message: str, *, headers: bytes = b"") -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers

    @classmethod
    def of(cls, error: DataError) -> Self:
        """Return the refusal of rows or labels that do not fit the model: 400, with column and row."""
        message = error.message
        if isinstance(error, SignatureMismatch):
            where = "" if error.column is None else f"column {error.column!r}"
            where += "" if error.row is None else f"{', ' if where else ''}row {error.row}"
            message = f"{where}: {message}" if where and where not in message else message
        return cls(400, f"{message}. {error.hint}" if error.hint else message)

    def answer(self) -> Answer:
        """Return it as JSON: `{"error": …}`, which is what Open Inference Protocol clients read."""
        return Answer(self.status, encode({"error": self.message}), headers=self.headers)


_ALWAYS = b"x-content-type-options: nosniff\r\ncache-control: no-store\r\n"
_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


def to_bytes(answer: Answer, *, close: bool, with_body: bool = True) -> bytes:
    """Return `answer` as it goes over the wire; `close` says that the connection ends here, `with_body` is false for HEAD."""
    return b"%bcontent-type: %b\r\ncontent-length: %d\r\n%b%b%b\r\n%b" % (
        _LINES[answer.status],
        answer.kind,
        len(answer.body),
        _ALWAYS,
        answer.headers,
        b"connection: close\r\n" if close else b"",
        answer.body if with_body else b"",
    )
