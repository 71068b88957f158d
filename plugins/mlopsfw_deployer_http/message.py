"""Requests and answers as records: the interface between connections and the service. Knows no socket and no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import msgspec

from mlopsfw.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlopsfw.worker import Scored

JSON = b"application/json"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"

encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Request:
    """A complete request.

    Args:
        method: Such as `POST`.
        path: The path as sent, without the query. It is never decoded, so that each route has one spelling.
        headers: Lower-case name → value. A connection refuses a name that is sent twice where that could mislead.
        body: The body, within the limit.
        client: The client's address.
        refusal: The answer, if the body was not kept.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    client: str = ""
    refusal: Refusal | None = None


@dataclass(slots=True)
class Answer:
    """One answer.

    Args:
        status: HTTP status.
        body: The body.
        kind: Content type.
        headers: Further header lines, each ending in CRLF.
        record: The record for capture, stored before the answer is sent; empty for none.
        rows: How many rows `record` holds.
        chunks: The rest of the body, if it is long: sent behind `body` without being joined with it.
        earlier: `(record, rows)` of the rows before, if the answer is long.
    """

    status: int
    body: bytes
    kind: bytes = JSON
    headers: bytes = b""
    record: bytes = b""
    rows: int = 0
    chunks: Sequence[bytes] = ()
    earlier: Sequence[tuple[bytes, int]] = ()

    @classmethod
    def of_parts(cls, chunks: Sequence[bytes], parts: Sequence[Scored]) -> Self:
        """Return the answer to a long request, whose rows were scored in parts."""
        *earlier, (record, rows) = [(part.record, len(part.ids)) for part in parts]
        return cls(200, chunks[0], record=record, rows=rows, chunks=chunks[1:], earlier=earlier)

    @property
    def total(self) -> int:
        """How many rows were answered."""
        return self.rows + sum(rows for _, rows in self.earlier)


class Refusal(Exception):
    """Refuse a request: an answer with an error.

    Args:
        status: 4xx if the client can correct the request, 503 for a temporary problem.
        message: The problem, its place, and the correct form.
        headers: Further header lines, each ending in CRLF.
    """

    def __init__(self, status: int, message: str, *, headers: bytes = b"") -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers

    @classmethod
    def of(cls, error: DataError) -> Self:
        """Return the refusal of rows or labels that do not fit the model: 400, with column and row."""
        return cls(400, f"{error.message}. {error.hint}" if error.hint else error.message)

    def answer(self) -> Answer:
        """Return the refusal as JSON, `{"error": …}`, which clients of the Open Inference Protocol read."""
        return Answer(self.status, encode({"error": self.message}), headers=self.headers)


class Lengthy(Exception):
    """A request takes long however short its body is: it is to be answered in steps."""


_ALWAYS = b"x-content-type-options: nosniff\r\ncache-control: no-store\r\n"
_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


def to_bytes(answer: Answer, *, close: bool, with_body: bool = True) -> bytes:
    """Return `answer` as bytes to send, without its chunks.

    Args:
        answer: The answer.
        close: Whether the connection ends with it.
        with_body: False for HEAD.
    """
    return b"%bcontent-type: %b\r\ncontent-length: %d\r\n%b%b%b\r\n%b" % (
        _LINES[answer.status],
        answer.kind,
        len(answer.body) + (sum(map(len, answer.chunks)) if answer.chunks else 0),
        _ALWAYS,
        answer.headers,
        b"connection: close\r\n" if close else b"",
        answer.body if with_body else b"",
    )
