"""The model that a server process serves: columns in, outputs and a capture record out. Knows no protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.records import Header, Predictions, encode
from mlopsfw.capturelog.times import Bounds, now_micros
from mlopsfw.errors import DataError, SignatureMismatch
from mlopsfw.roles import nearest
from mlopsfw_deployer_http.message import Refusal

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.privacy.requests import Requests
    from mlopsfw.roles import Bundle, Clock, EndpointSpec

EVENT_TIME = "event_time"
_LONGEST_ID = 200


@dataclass(slots=True)
class Scored:
    """The answer to one request, before any protocol.

    Args:
        ids: One prediction id a row, made here.
        outputs: Output → array, first axis the row.
        lists: The same as lists.
        record: What capture keeps.
    """

    ids: list[str]
    outputs: Mapping[str, np.ndarray]
    lists: dict[str, list[Any]]
    record: bytes


class Model:
    """A loaded bundle and what it is served as.

    Args:
        spec: The endpoint, model, version and revision.
        bundle: The bundle, loaded, its golden rows replayed.
        clock: Time.
        requests: What happens to personal columns.
        bounds: How far from the clock's time an event time or a label time may lie.
    """

    def __init__(
        self, spec: EndpointSpec, bundle: Bundle, clock: Clock, requests: Requests, bounds: Bounds | None = None
    ) -> None:
        self.requests, self.bounds = requests, bounds or Bounds()
        self.spec, self.manifest = spec, bundle.manifest
        self._bundle, self._clock = bundle, clock
        self.columns = {column.name: column for column in self.manifest.inputs}
        self._takes_event_time = EVENT_TIME not in self.columns

    @property
    def header(self) -> Header:
        """The first record of this process's capture segments."""
        s, m = self.spec, self.manifest
        return Header(
            endpoint=s.endpoint, revision=s.revision, model=s.model, version=s.version, bundle=s.bundle,
            inputs=self.requests.signature(m.inputs), outputs=m.outputs,
        )  # fmt: skip

    def score(self, columns: dict[str, list[Any]], request_id: str | None, event_time: str | None) -> Scored:
        """Score rows.

        Args:
            columns: Column → values, one a row, all of one length; `event_time` may be among them.
            request_id: The client's own id of the request: kept beside the rows, and the name of none.
            event_time: When it happened, for all rows, RFC 3339.

        Raises:
            Refusal: A column is missing, unknown or of the wrong type, or a time or id cannot be read: 400, naming it.
        """
        now = now_micros(self._clock.now())
        times = columns.pop(EVENT_TIME, None) if self._takes_event_time else None
        try:
            columns = self.requests.asked(columns)
        except SignatureMismatch as error:
            raise Refusal(400, _located(error)) from None
        rows = self._rows(columns)
        moments = self._moments(times, event_time, rows, now)
        _check_request_id(request_id)
        ids = _new_ids(rows)
        try:
            outputs = self._bundle.predict(columns)
        except SignatureMismatch as error:
            raise Refusal(400, _located(error)) from None
        lists = {name: values.tolist() for name, values in outputs.items()}
        kept = self.requests.captured(columns)
        record = Predictions(
            ids=ids, event_times=moments, processed_time=now, inputs=kept, outputs=lists, request_id=request_id or None
        )
        return Scored(ids, outputs, lists, encode(record))

    def _moments(self, times: Sequence[Any] | None, shared: str | None, rows: int, now: int) -> list[int]:
        if times is None:
            return [self._moment(shared, None, now) if shared is not None else now] * rows
        if len(times) != rows:
            raise Refusal(400, f"column '{EVENT_TIME}' has {len(times)} rows, the others have {rows}")
        return [now if time is None else self._moment(time, row, now) for row, time in enumerate(times)]

    def _moment(self, time: Any, row: int | None, now: int) -> int:
        where = EVENT_TIME if row is None else f"column '{EVENT_TIME}', row {row}"
        if not isinstance(time, str):
            raise Refusal(400, f"{where}: {type(time).__name__} is not a time; write RFC 3339 with a zone")
        try:
            return self.bounds.micros(time, now)
        except DataError as error:
            raise Refusal(400, f"{where}: {error.message}. {error.hint}") from None

    def _rows(self, columns: Mapping[str, list[Any]]) -> int:
        if columns.keys() != self.columns.keys():
            self._complain(columns)
        first = next(iter(columns), None)
        if first is None:
            raise Refusal(400, "the model takes no columns")
        rows = len(columns[first])
        for name, values in columns.items():
            if len(values) != rows:
                raise Refusal(400, f"column {name!r} has {len(values)} rows, column {first!r} has {rows}")
        if rows == 0:
            raise Refusal(400, "the request holds no rows")
        return rows

    def _complain(self, columns: Mapping[str, list[Any]]) -> None:
        unknown = [name for name in columns if name not in self.columns]
        missing = [name for name in self.columns if name not in columns]
        if unknown:
            name = unknown[0]
            raise Refusal(400, f"unknown column {name[:100]!r}. {nearest(name[:100], missing or self.columns)}")
        raise Refusal(400, f"missing column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}")


def _new_ids(rows: int) -> list[str]:
    """Return ids that nobody can guess: 128 random bits, and the row where the request has several."""
    base = os.urandom(16).hex()
    return [base] if rows == 1 else [f"{base}-{row}" for row in range(rows)]


def _check_request_id(request_id: str | None) -> None:
    if request_id and (len(request_id) > _LONGEST_ID or not request_id.isprintable()):
        raise Refusal(400, f"`id` must be printable and at most {_LONGEST_ID} characters")


def _located(error: SignatureMismatch) -> str:
    where = "" if error.column is None else f"column {error.column!r}"
    where += "" if error.row is None else f"{', ' if where else ''}row {error.row}"
    return f"{where}: {error.message}" if where and where not in error.message else error.message
