"""`Scorer`: answers requests in a server process. Columns in; outputs, ids and a capture record out. Knows no protocol."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.labels import check_labels
from mlopsfw.capturelog.records import Header, LabelRows
from mlopsfw.kernel.base.errors import AnswerMismatch, SignatureMismatch, UsageError
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.bundle import Manifest
from mlopsfw.models.bundle.answers import as_lists
from mlopsfw.models.bundle.loaded import LoadedBundle
from mlopsfw.models.bundle.scoring import NO_EXTRAS, Extras, answer, extra_names
from mlopsfw.serving.recorder import Recorder, Request

_VALUES = 8_192  # inputs scored at a time, if there are many
_EXPLAINED = 64  # inputs explained at a time: each costs many answers
_FEWEST = 8  # rows scored at a time: libraries of linear algebra add a single row up in another order
_OF_ROWS = frozenset({"binary", "multiclass", "multilabel", "regression"})
"""The tasks whose answer for a row depends on that row alone."""

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")


@dataclass(slots=True)
class Scored:
    """The answer to one request, or to some of its rows, independent of the protocol.

    Args:
        ids: One prediction id a row, made here.
        outputs: Output → array, first axis the row; with extras where they were asked for.
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

    def __init__(self, bundle: LoadedBundle, recorder: Recorder) -> None:
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

    def names(self, extras: Extras) -> tuple[str, ...]:
        """Return what an answer holds: the outputs, and what `extras` ask for."""
        return (*(output.name for output in self.manifest.outputs), *extra_names(self.manifest, extras))

    def score(
        self, columns: dict[str, list[Any]], request_id: str | None, event_time: str | None, extras: Extras = NO_EXTRAS
    ) -> Scored:
        """Score rows; the first three arguments as for `Recorder.request`.

        Args:
            columns: Column → values.
            request_id: The client's own id.
            event_time: When it happened.
            extras: What the answer holds beside the outputs.

        Raises:
            SignatureMismatch: As `Recorder.request`; or a value is of the wrong type; or the model has no such extras.
        """
        request = self._recorder.request(columns, request_id, event_time)
        outputs = self._predict(request.columns, extras)
        return self._scored(request, outputs)

    def _scored(self, request: Request, outputs: Mapping[str, np.ndarray]) -> Scored:
        lists = as_lists(outputs)
        captured = {name: lists[name] for name in self.names(NO_EXTRAS)}
        return Scored(request.ids, outputs, lists, self._recorder.record(request, captured))

    def _predict(self, columns: Mapping[str, Any], extras: Extras) -> Mapping[str, np.ndarray]:
        try:
            return answer(self._bundle, columns, extras)
        except UsageError as error:
            raise SignatureMismatch(error.message, hint=error.hint) from None

    def score_in_steps(
        self, columns: dict[str, list[Any]], request_id: str | None, event_time: str | None, extras: Extras = NO_EXTRAS
    ) -> Generator[None, None, list[Scored]]:
        """Score the rows of a long request, as `score` does, in steps: the caller decides when the next one begins.

        Steps take some rows each, unless the answer for a row may depend on the others: for a task other than binary, multiclass,
        multilabel or regression, and for tensors whose sides the signature leaves open, the model is asked once about all rows.

        Returns:
            The answer in parts, in the order of the rows.

        Raises:
            SignatureMismatch: As `score`.
        """
        request = self._recorder.request(columns, request_id, event_time)
        yield
        width = _width(request.columns)
        size = max(1, _EXPLAINED // width) if extras.explain else max(_FEWEST, _VALUES // width)
        cuts = list(_cuts(len(request.ids), size))
        outputs = yield from self._outputs(request, cuts, extras)
        parts = []
        for first, end in cuts:
            answers = {name: values[first:end] for name, values in outputs.items()}
            parts.append(self._scored(request.part(first, end), answers))
            yield
        return parts

    def _outputs(
        self, request: Request, cuts: list[tuple[int, int]], extras: Extras
    ) -> Generator[None, None, Mapping[str, np.ndarray]]:
        """Return the outputs of all rows, asked for in parts if the answers for the parts surely are the answer for all."""
        if _by_row(self.manifest):
            try:
                answers = yield from self._answers(request.columns, cuts, extras)
            except AnswerMismatch:
                pass  # asked about all rows, the model names the row
            else:
                if len({_form(answer) for answer in answers}) == 1:
                    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
        return self._predict(request.columns, extras)

    def _answers(
        self, columns: Mapping[str, list[Any]], cuts: list[tuple[int, int]], extras: Extras
    ) -> Generator[None, None, list[Mapping[str, np.ndarray]]]:
        answers = []
        for first, end in cuts:
            try:
                answers.append(self._predict({name: values[first:end] for name, values in columns.items()}, extras))
            except SignatureMismatch as error:
                raise error.counted_from(first) from None
            yield
        return answers

    def labels(self, rows: Iterable[Mapping[str, Any]]) -> LabelRows:
        """Return labels as capture stores them, encoded for `CaptureWriter.write`.

        Args:
            rows: As `mlopsfw.capturelog.labels.check_labels` takes them.

        Raises:
            DataError: A row cannot be kept, and so none is.
        """
        recorder = self._recorder
        return check_labels(rows, self.manifest, recorder.requests.label, recorder.bounds, recorder.now())


def _cuts(rows: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the first row and the end of parts of almost equal length, at most `size`."""
    count = -(-rows // size)
    for number in range(count):
        yield number * rows // count, (number + 1) * rows // count


def _width(columns: Mapping[str, list[Any]]) -> int:
    """Return how many values the first row has; the others have about as many."""
    width = 0
    for values in columns.values():
        count, value = 1, values[0]
        while isinstance(value, list):
            count, value = count * len(value), value[0] if value else None
        width += max(1, count)
    return width


def _by_row(manifest: Manifest) -> bool:
    open_sides = any(None in column.shape for column in (*manifest.inputs, *manifest.outputs))
    return manifest.task in _OF_ROWS and not open_sides


def _form(answer: Mapping[str, np.ndarray]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return what the parts of an answer must share: the type of each output, and the shape of a row's value."""
    return tuple(("U" if a.dtype.kind == "U" else a.dtype.str, a.shape[1:]) for a in answer.values())
