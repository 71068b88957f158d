"""`Scorer`: answers requests in a server process. Columns in; outputs, ids and a capture record out. Knows no protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.labels import check_labels
from mlopsfw.capturelog.records import Header, LabelRows
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.bundle import Bundle
from mlopsfw.models.bundle.answers import as_lists
from mlopsfw.serving.recorder import Recorder

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")


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
    """A loaded bundle and its place in serving.

    Args:
        bundle: The bundle, loaded, its golden rows replayed.
        recorder: Checks requests and makes records of their answers.
    """

    def __init__(self, bundle: Bundle, recorder: Recorder) -> None:
        self.spec, self.manifest, self.columns = recorder.spec, recorder.manifest, recorder.columns
        self._bundle, self._recorder = bundle, recorder

    @property
    def header(self) -> Header:
        """The first record of this process's capture segments, for `CaptureWriter`."""
        return self._recorder.header

    @property
    def hashed(self) -> frozenset[str]:
        """Columns whose values may be of any type in a request: the model sees their keyed hash."""
        return self._recorder.requests.hashed

    def score(self, columns: dict[str, list[Any]], request_id: str | None, event_time: str | None) -> Scored:
        """Score rows; arguments as for `Recorder.request`.

        Raises:
            SignatureMismatch: As `Recorder.request`; or a value is of the wrong type.
        """
        request = self._recorder.request(columns, request_id, event_time)
        outputs = self._bundle.predict(request.columns)
        lists = as_lists(outputs)
        return Scored(request.ids, outputs, lists, self._recorder.record(request, lists))

    def labels(self, rows: Iterable[Mapping[str, Any]]) -> LabelRows:
        """Return labels as capture stores them, encoded for `CaptureWriter.write`.

        Args:
            rows: As `mlopsfw.capturelog.labels.check_labels` takes them.

        Raises:
            DataError: A row cannot be kept, and so none is.
        """
        recorder = self._recorder
        return check_labels(rows, self.manifest, recorder.requests.label, recorder.bounds, recorder.now())
