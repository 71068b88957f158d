"""`Scorer`: answers requests in a server process. Columns in; outputs, ids and a capture record out. Knows no protocol."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.labels import check_labels
from mlopsfw.capturelog.records import Header, LabelRows, Predictions, encode
from mlopsfw.capturelog.times import Bounds, now_micros
from mlopsfw.kernel.base.errors import DataError, SignatureMismatch
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.bundle import Bundle
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.kernel.roles.host import Clock
from mlopsfw.models.bundle.answers import as_lists
from mlopsfw.privacy.requests import Requests

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")

EVENT_TIME = "event_time"
_LONGEST_ID = 200


@dataclass(slots=True)
class Scored:
    """The answer to one request, independent of the protocol.

    Args:
        ids: One prediction id a row, made here.
        outputs: Output → array, first axis the row.
        lists: The same as lists.
        record: What capture keeps, for `CaptureWriter.write`.
    """

    ids: list[str]
    outputs: Mapping[str, np.ndarray]
    lists: dict[str, list[Any]]
    record: bytes


class Scorer:
    """A loaded bundle and its place in serving. Treats personal columns as in training, and before capture.

    Args:
        spec: The endpoint, model, version and revision.
        bundle: The bundle, loaded, its golden rows replayed.
        clock: Time.
        requests: What happens to personal columns.
        bounds: How far from the clock's time an event time or a label time may lie.
    """

    def __init__(self, spec: EndpointSpec, bundle: Bundle, clock: Clock, requests: Requests, bounds: Bounds) -> None:
        self.spec, self.manifest = spec, bundle.manifest
        self._bundle, self._clock, self._requests, self._bounds = bundle, clock, requests, bounds
        self.columns = {column.name: column for column in self.manifest.inputs}
        self._takes_event_time = EVENT_TIME not in self.columns

    @property
    def header(self) -> Header:
        """The first record of this process's capture segments, for `CaptureWriter`."""
        s, m = self.spec, self.manifest
        return Header(
            endpoint=s.endpoint, revision=s.revision, model=s.model, version=s.version, bundle=s.bundle,
            inputs=self._requests.signature(m.inputs), outputs=tuple(output.name for output in m.outputs),
        )  # fmt: skip

    @property
    def hashed(self) -> frozenset[str]:
        """Columns whose values may be of any type in a request: the model sees their keyed hash."""
        return self._requests.hashed

    def score(self, columns: dict[str, list[Any]], request_id: str | None, event_time: str | None) -> Scored:
        """Score rows.

        Args:
            columns: Column → values, one a row, all of one length; `event_time` may be among them.
            request_id: The client's own id of the request: kept beside the rows, and the name of none.
            event_time: When it happened, for all rows, RFC 3339.

        Raises:
            SignatureMismatch: A column is missing, unknown or of the wrong type, or a time or id cannot be read; names it.
        """
        now = now_micros(self._clock.now())
        times = columns.pop(EVENT_TIME, None) if self._takes_event_time else None
        columns = self._requests.asked(columns)
        rows = self._rows(columns)
        moments = self._moments(times, event_time, rows, now)
        _check_request_id(request_id)
        ids = _new_ids(rows)
        outputs = self._bundle.predict(columns)
        lists = as_lists(outputs)
        kept = self._requests.captured(columns)
        record = Predictions(
            ids=ids, event_times=moments, processed_time=now, inputs=kept, outputs=lists, request_id=request_id or None
        )
        return Scored(ids, outputs, lists, encode(record))

    def labels(self, rows: Iterable[Mapping[str, Any]]) -> LabelRows:
        """Return labels as capture stores them, encoded for `CaptureWriter.write`.

        Args:
            rows: As `mlopsfw.capturelog.labels.check_labels` takes them.

        Raises:
            DataError: A row cannot be kept, and so none is.
        """
        return check_labels(rows, self.manifest, self._requests.label, self._bounds, now_micros(self._clock.now()))

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
            return self._bounds.micros(time, now)
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
