"""`BatchScorer`: score a file at an endpoint of a batch deployer, in constant memory, one frame after the other."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import PluginError, ServingError, SignatureMismatch
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.kernel.roles.deployer import Scores
from mlopsfw.models.bundle.scoring import NO_EXTRAS, Extras
from mlopsfw.serving.recorder import EVENT_TIME

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.data.intake.inferred import InferredFile
    from mlopsfw.kernel.roles.bundle import Dtype, Manifest
    from mlopsfw.kernel.roles.reading import ReadOptions
    from mlopsfw.kernel.services import Services
    from mlopsfw.serving.endpoints import Endpoints

PREDICTION_ID = "prediction_id"
_ROWS = 8_192  # of a request


class BatchScorer:
    """Scores files at the endpoints of batch deployers.

    Args:
        services: The kernel's services.
        endpoints: Know the deployers.
        formats: The formats that read files.
    """

    def __init__(self, services: Services, endpoints: Endpoints, formats: Formats) -> None:
        self._services, self._endpoints, self._formats = services, endpoints, formats

    def score_file(
        self,
        endpoint: str,
        file: Path,
        options: ReadOptions | None = None,
        sheet: str = "",
        *,
        flat: bool = False,
        extras: Extras = NO_EXTRAS,
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of `file`, each with the id of its prediction and the outputs of the model; the first frame is empty.

        The file is read twice: its types are settled before anything is scored. A column `event_time` that the model
        does not take says when each row's event happened.

        Args:
            endpoint: The endpoint.
            file: The rows. Texts of CSV are read as the model's signature has them.
            options: The format of the file.
            sheet: The sheet of a workbook.
            flat: Whether each class has a column of its own, as a CSV file needs.
            extras: What to add beside the outputs.

        Raises:
            UsageError: The endpoint's deployer answers requests; it scores no files. Or the model has no such extras.
            ServingError: The endpoint is stopped.
            DataError: The file cannot be read, or has a column called as what is added to its rows.
            SignatureMismatch: Its rows do not fit the model.
        """
        from mlopsfw.data.intake.inferred import InferredFile
        from mlopsfw.models.bundle.scoring import as_signature, by_class
        from mlopsfw.models.bundle.stored import stored_manifest

        served, name, deployer = self._endpoints.batch(endpoint)
        manifest = stored_manifest(self._services.blobs, served.bundle)
        source = InferredFile(self._formats, file, as_signature(self._formats, manifest.inputs, file, options), sheet)
        source.take(lambda batches: deque(batches, maxlen=0))
        shaped = (lambda frame: by_class(frame, manifest)) if flat else (lambda frame: frame)
        yield shaped(_empty(source, manifest, extras))
        requests = _Requests(source, manifest)
        asked = extras._asdict() if extras != NO_EXTRAS else {}
        try:
            answers = deployer.score(endpoint, requests, **asked)
            yield from map(shaped, _answered(name, answers, requests, manifest, extras))
        except Exception:
            if requests.error is not None:  # an error in the file is not the deployer's fault
                raise requests.error from None
            raise


def _answered(
    name: str, answers: Iterator[Scores], requests: _Requests, manifest: Manifest, extras: Extras
) -> Iterator[pl.DataFrame]:
    """Yield the frames that the deployer `name` was asked about, joined with its answers."""
    total = 0
    with contextlib.closing(_checked(name, answers)) as scored:
        try:
            for scores in scored:
                if not requests.waiting:
                    raise PluginError(f"the deployer {name} answered more than it was asked, after row {total}")
                rows = requests.waiting.popleft()
                yield _joined(name, rows, scores, manifest, extras)
                total += rows.height
        except SignatureMismatch as error:
            raise error.counted_from(total) from None
    if requests.waiting or not requests.ended:
        raise PluginError(f"the deployer {name} left rows unanswered: those after row {total}")


def _checked(name: str, answers: Any) -> Generator[Scores, None, None]:
    """Yield what a deployer answers; close its iterator with this one."""
    if not isinstance(answers, Iterator):
        raise PluginError(f"the deployer {name} returned a {type(answers).__name__}, not an iterator of Scores")
    with contextlib.ExitStack() as stack:
        stack.callback(getattr(answers, "close", lambda: None))
        for scores in answers:
            if not isinstance(scores, Scores):
                raise PluginError(f"the deployer {name} answered with a {type(scores).__name__}, not with Scores")
            yield scores


class _Requests:
    """What a deployer is asked: the columns that the model takes, some rows at a time.

    Args:
        source: The file, its types settled.
        manifest: The model's.

    Attributes:
        waiting: The frames that have no answer yet.
        ended: Whether the deployer has asked for all.
        error: What went wrong with the file.
    """

    def __init__(self, source: InferredFile, manifest: Manifest) -> None:
        self._source, self._inputs = source, list(manifest.inputs)
        if EVENT_TIME not in {column.name for column in self._inputs}:
            self._inputs.append(SignatureColumn(name=EVENT_TIME, type="datetime"))
        self.waiting: deque[pl.DataFrame] = deque()
        self.ended = False
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Mapping[str, list[Any]]]:
        from mlopsfw.models.bundle.scoring import request_values

        try:
            for rows in self._frames():
                self.waiting.append(rows)
                taken = [column for column in self._inputs if column.name in rows.columns]
                yield {column.name: request_values(rows[column.name], column) for column in taken}
        except Exception as error:  # noqa: BLE001 - it passes through the deployer, and is raised behind it
            self.error = error
            raise ServingError("the file cannot be read further") from None
        self.ended = True

    def _frames(self) -> Iterator[pl.DataFrame]:
        passed = 0
        for batch in self._source.batches():
            frame = _frame(self._source, batch, self._inputs, passed)
            passed += frame.height
            yield from (rows for rows in frame.iter_slices(_ROWS) if rows.height)


def _frame(
    source: InferredFile, batch: pa.RecordBatch, inputs: Sequence[SignatureColumn], first: int = 0
) -> pl.DataFrame:
    from mlopsfw.data.intake.inferred import as_frame
    from mlopsfw.models.bundle.scoring import with_whole_numbers

    rows = as_frame(batch)
    return rows if source.typed else with_whole_numbers(rows, inputs, first)


def _empty(source: InferredFile, manifest: Manifest, extras: Extras) -> pl.DataFrame:
    """Return the columns that the answer will have. Raise `SignatureMismatch` where the file lacks one that the model takes."""
    from mlopsfw.models.bundle.scoring import added_names, check_names, extra_names

    with contextlib.closing(source.batches()) as batches:
        rows = _frame(source, next(batches), manifest.inputs).clear()
    check_names(rows.columns, (PREDICTION_ID, *added_names(manifest), *extra_names(manifest, extras)))
    missing = [column.name for column in manifest.inputs if column.name not in rows.columns]
    if missing:
        raise SignatureMismatch(f"the rows lack {', '.join(missing)}, which the model needs")
    return _with(rows, [], dict.fromkeys(_names(manifest, extras), ()), manifest)


def _names(manifest: Manifest, extras: Extras) -> list[str]:
    from mlopsfw.models.bundle.scoring import extra_names

    return [*(output.name for output in manifest.outputs), *extra_names(manifest, extras)]


def _joined(name: str, rows: pl.DataFrame, scores: Scores, manifest: Manifest, extras: Extras) -> pl.DataFrame:
    names, wanted = set(scores.outputs), set(_names(manifest, extras))
    if names != wanted:
        raise PluginError(f"the deployer {name} answered with {sorted(names)}, not with the model's {sorted(wanted)}")
    for column, values in {PREDICTION_ID: scores.ids, **scores.outputs}.items():
        if len(values) != rows.height:
            raise PluginError(
                f"the deployer {name} answered {rows.height} rows with {len(values)} values of {column!r}"
            )
    return _with(rows, scores.ids, scores.outputs, manifest)


def _with(
    rows: pl.DataFrame, ids: Sequence[str], outputs: Mapping[str, Sequence[Any]], manifest: Manifest
) -> pl.DataFrame:
    import polars as pl

    from mlopsfw.models.bundle.scoring import in_file, with_class

    series = [pl.Series(PREDICTION_ID, ids, dtype=pl.String)]
    types = {column.name: _type(column) for column in manifest.outputs}
    for name, values in in_file(manifest, outputs).items():
        of_set = pl.List(pl.Series(list(manifest.classes)).dtype) if name.endswith(".set") else pl.Float64()
        series.append(pl.Series(name, values, dtype=types.get(name, of_set)))
    return with_class(rows.with_columns(series), manifest)


def _type(column: SignatureColumn) -> Any:
    """Return the column type of an output's values as lists: of one type in every frame, whatever the values are."""
    import polars as pl

    scalars = {"number": pl.Float64(), "integer": pl.Int64(), "boolean": pl.Boolean()}
    if column.type == "list":
        return pl.List(scalars.get(column.items or "number", pl.String()))
    if column.type != "tensor":
        return scalars.get(column.type, pl.String())
    kind: Any = scalars[_kind(column.dtype or "float32")]
    for _ in column.shape:
        kind = pl.List(kind)
    return kind


def _kind(dtype: Dtype) -> str:
    if dtype == "bool":
        return "boolean"
    return "number" if dtype.startswith("float") else "integer"
