"""`Recorder`: what of a request the model is asked, and what capture keeps of the answer. The one form of a captured prediction."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlopsfw.capturelog.records import Header, Predictions, encode
from mlopsfw.capturelog.times import Bounds, now_micros
from mlopsfw.kernel.base.errors import DataError, SignatureMismatch
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.bundle import Manifest
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.kernel.roles.host import Clock
from mlopsfw.privacy.requests import Requests

EVENT_TIME = "event_time"
_LONGEST_ID = 200


@dataclass(slots=True)
class Request:
    """The checked rows of one request.

    Args:
        columns: Column → values as the model is asked, one a row; personal ones treated.
        ids: One prediction id a row, made here.
        event_times: When each row's event happened, microseconds UTC.
        time: When the request arrived, microseconds UTC.
        request_id: The client's own id of the request; None where it sent none.
        first_row: Which row of the request comes first; None where these are all of its rows.
    """

    columns: dict[str, list[Any]]
    ids: list[str]
    event_times: list[int]
    time: int
    request_id: str | None
    first_row: int | None = None

    def part(self, first: int, end: int) -> Request:
        """Return the rows from `first` up to `end`."""
        columns = {name: values[first:end] for name, values in self.columns.items()}
        return Request(
            columns, self.ids[first:end], self.event_times[first:end], self.time, self.request_id, first_row=first
        )


class Recorder:
    """One revision of an endpoint. Treats personal columns as in training, and before capture.

    Args:
        spec: The endpoint, model, version and revision.
        manifest: The model's.
        clock: Time.
        requests: What happens to personal columns.
        bounds: How far from the clock's time an event time or a label time may lie.
    """

    def __init__(
        self, spec: EndpointSpec, manifest: Manifest, clock: Clock, requests: Requests, bounds: Bounds
    ) -> None:
        self.spec, self.manifest, self.requests, self.bounds = spec, manifest, requests, bounds
        self._clock = clock
        self.columns = {column.name: column for column in manifest.inputs}
        self._takes_event_time = EVENT_TIME not in self.columns

    @property
    def header(self) -> Header:
        """The first record of this process's capture segments, for `CaptureWriter`."""
        s, m = self.spec, self.manifest
        return Header(
            endpoint=s.endpoint, revision=s.revision, model=s.model, version=s.version, bundle=s.bundle,
            inputs=self.requests.signature(m.inputs), outputs=tuple(output.name for output in m.outputs),
        )  # fmt: skip

    def now(self) -> int:
        """Return the time, microseconds UTC."""
        return now_micros(self._clock.now())

    def request(self, columns: dict[str, list[Any]], request_id: str | None, event_time: str | None) -> Request:
        """Check rows and treat their personal columns.

        Args:
            columns: Column → values, one a row, all of one length; `event_time` may be among them.
            request_id: The client's own id of the request: stored with the rows. It identifies no single row.
            event_time: When it happened, for all rows, RFC 3339.

        Raises:
            SignatureMismatch: A column is missing, unknown or of the wrong length, or a time or id cannot be read; names it.
        """
        now = self.now()
        times = columns.pop(EVENT_TIME, None) if self._takes_event_time else None
        columns = self.requests.asked(columns)
        rows = self._rows(columns)
        moments = self._moments(times, event_time, rows, now)
        _check_request_id(request_id)
        return Request(columns, _new_ids(rows), moments, now, request_id or None)

    def record(self, request: Request, outputs: dict[str, list[Any]]) -> bytes:
        """Return what capture keeps, for `CaptureWriter.write`.

        Args:
            request: The rows.
            outputs: Output → values, one a row.
        """
        kept = self.requests.captured(request.columns)
        record = Predictions(
            ids=request.ids, event_times=request.event_times, processed_time=request.time,
            inputs=kept, outputs=outputs, request_id=request.request_id,
            first_row=request.first_row,
        )  # fmt: skip
        return encode(record)

    def _moments(self, times: Sequence[Any] | None, shared: str | None, rows: int, now: int) -> list[int]:
        if times is None:
            return [self._moment(shared, None, now) if shared is not None else now] * rows
        if len(times) != rows:
            raise SignatureMismatch(f"column '{EVENT_TIME}' has {len(times)} rows, the others have {rows}")
        return [now if time is None else self._moment(time, row, now) for row, time in enumerate(times)]

    def _moment(self, time: Any, row: int | None, now: int) -> int:
        where = EVENT_TIME if row is None else f"column '{EVENT_TIME}', row {row}"
        if not isinstance(time, str):
            raise SignatureMismatch(f"{where}: {type(time).__name__} is not a time; write RFC 3339 with a zone")
        try:
            return self.bounds.micros(time, now)
        except DataError as error:
            raise SignatureMismatch(f"{where}: {error.message}", hint=error.hint) from None

    def _rows(self, columns: Mapping[str, list[Any]]) -> int:
        if columns.keys() != self.columns.keys():
            self._complain(columns)
        first = next(iter(columns), None)
        if first is None:
            raise SignatureMismatch("the model takes no columns")
        rows = len(columns[first])
        for name, values in columns.items():
            if len(values) != rows:
                raise SignatureMismatch(f"column {name!r} has {len(values)} rows, column {first!r} has {rows}")
        if rows == 0:
            raise SignatureMismatch("the request holds no rows")
        return rows

    def _complain(self, columns: Mapping[str, list[Any]]) -> None:
        unknown = [name for name in columns if name not in self.columns]
        missing = [name for name in self.columns if name not in columns]
        if unknown:
            name = unknown[0]
            raise SignatureMismatch(f"unknown column {name[:100]!r}", hint=nearest(name[:100], missing or self.columns))
        raise SignatureMismatch(f"missing column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}")


def _new_ids(rows: int) -> list[str]:
    """Return ids that nobody can guess: 128 random bits, plus the row if the request has several."""
    base = os.urandom(16).hex()
    return [base] if rows == 1 else [f"{base}-{row}" for row in range(rows)]


def _check_request_id(request_id: str | None) -> None:
    if request_id and (len(request_id) > _LONGEST_ID or not request_id.isprintable()):
        raise SignatureMismatch(f"`id` must be printable and at most {_LONGEST_ID} characters")
