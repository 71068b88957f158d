"""What a captured record says. MessagePack, so that floats come back bit for bit; a layout is never changed, only followed by another.

Layout 2 adds `Predictions.request_id` at the end; of layout 1, whose ids were the clients' own, that field is None.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import NewerVersion
from mlopsfw.kernel.roles.bundle import SignatureColumn

FORMAT = 3


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="header"):
    """The first record of a segment: what served the predictions that follow.

    Args:
        endpoint, revision: Which endpoint, and the change that brought the model there.
        model, version, bundle: The registry's name and version, and the bundle's digest.
        inputs: The model's signature.
        outputs: Names of its outputs.
        format: Version of this layout.
    """

    endpoint: str
    revision: int
    model: str
    version: int
    bundle: str
    inputs: tuple[SignatureColumn, ...]
    outputs: tuple[str, ...]
    format: int = FORMAT


class Predictions(msgspec.Struct, frozen=True, kw_only=True, tag="p", array_like=True):
    """The rows of one answered request, or some of them: a long request has several records.

    Args:
        ids: One prediction id a row, made by the server: unique for ever, and no client can guess another's.
        event_times: When each row's event happened, microseconds UTC.
        processed_time: When it was answered, microseconds UTC.
        inputs: Column → values as the request sent them, one a row.
        outputs: Output → values, one a row.
        request_id: The client's own id of the request, if it sent one. It names nothing: other requests may carry the same.
        first_row: Which row of the request comes first here; None where these are all of its rows.
    """

    ids: list[str]
    event_times: list[int]
    processed_time: int
    inputs: dict[str, list[Any]]
    outputs: dict[str, list[Any]]
    request_id: str | None = None
    first_row: int | None = None


class LabelRows(msgspec.Struct, frozen=True, kw_only=True, tag="l", array_like=True):
    """Labels that arrived at the endpoint.

    Args:
        ids: The predictions they belong to.
        labels: What was true.
        label_times: When that became known, microseconds UTC.
        received_time: When it arrived, microseconds UTC; of several labels of one prediction the one that arrived last holds.
    """

    ids: list[str]
    labels: list[str | int | float | bool]
    label_times: list[int]
    received_time: int


Record = Predictions | LabelRows

encode = msgspec.msgpack.Encoder().encode

_header = msgspec.msgpack.Decoder(Header).decode
_record: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def decode_header(payload: bytes) -> Header:
    """Return the first record of a segment. Raise `NewerVersion` where a newer mlopsfw wrote it."""
    header = _header(payload)
    if not 1 <= header.format <= FORMAT:
        raise NewerVersion(
            f"captured predictions of {header.endpoint} have layout {header.format}",
            hint="Upgrade mlopsfw to read them.",
        )
    return header


def decode_record(payload: bytes) -> Record:
    """Return any later record."""
    return _record.decode(payload)
