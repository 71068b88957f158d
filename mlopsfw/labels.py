"""Labels: what turned out to be true of a model's predictions. Kept in the table `labels/<model>`, corrections and all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import MAXYEAR, MINYEAR, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError, NotFound
from mlopsfw.ids import check_name

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.contracts.bundle import Manifest
    from mlopsfw.privacy.pii import Treatment
    from mlopsfw.project import Project
    from mlopsfw.registry import ModelVersion

Label = str | int | float | bool

_LARGEST = sys.float_info.max


def as_class(label: Label, manifest: Manifest) -> Label:
    """Return `label` as the model's manifest has it: one of its classes, or a finite number for regression.

    Raises:
        DataError: It is neither.
    """
    if manifest.task == "regression":
        if isinstance(label, bool | str) or not -_LARGEST <= label <= _LARGEST:  # nor NaN
            raise DataError(f"the label {str(label)[:60]!r} is not a finite number")
        return float(label)
    for known in manifest.classes:
        if known == label and isinstance(known, str) == isinstance(label, str):
            return known
    raise DataError(
        f"the label {str(label)[:60]!r} is not a class", hint=f"Classes: {', '.join(map(str, manifest.classes))}."
    )


class Labels:
    """The labels of one project's models.

    Args:
        project: The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def add(self, model: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add labels.

        Args:
            model: The model's name.
            rows: Each with `prediction_id`, `label` and, unless it became known now, `label_time` (a `datetime` with zone,
                or RFC 3339). A later `label_time` for the same prediction is a correction.

        Returns:
            How many were added.

        Raises:
            DataError: A row lacks a field, its label is no class of the latest version, its time has no zone, or the time lies further from now than
                `[capture]` allows; nothing is added.
        """
        from mlopsfw.capture.frames import labels_frame
        from mlopsfw.capture.records import LabelRows
        from mlopsfw.capture.times import Bounds, now_micros

        check_name(model, "model")
        version = self._project.registry.resolve(f"models:/{model}")
        manifest, privacy = self._manifest(version), self._project.privacy
        treatment = privacy.treatment(privacy.learned(version))
        now = now_micros(self._project.clock.now())
        bounds = Bounds.of(self._project.config.capture)

        def when(moment: str | datetime | None) -> int:
            return now if moment is None else bounds.micros(moment, now)

        checked = [_checked(row, number, manifest, treatment, when) for number, row in enumerate(rows)]
        if not checked:
            return 0
        ids, labels, times = (list(column) for column in zip(*checked, strict=True))
        record = LabelRows(ids=ids, labels=labels, label_times=times, received_time=now)
        table_version = self._project.tables.append(f"labels/{model}", labels_frame([record]))
        self._project.ledger.stream(f"labels/{model}").append(
            "labels.added", {"rows": len(checked), "table_version": table_version}
        )
        return len(checked)

    def add_file(self, model: str, file: Path) -> int:
        """Add the labels of a CSV, Parquet or JSON-lines file with the columns that `add` takes. Raise `DataError`, as `add`."""
        from mlopsfw.scoring import read_rows

        try:
            rows = read_rows(file)
            _check_calendar(rows)
            return self.add(model, rows.iter_rows(named=True))
        except DataError as error:
            message = error.message if str(file) in error.message else f"{file}: {error.message}; nothing was added"
            raise DataError(message, hint=error.hint) from None

    def scan(self, model: str) -> pl.LazyFrame:
        """Return the labels of `model`, for each prediction the one that became known last.

        Returns:
            Columns `prediction_id`, `label` (boolean, number or text, as the labels are), `label_time` and `received_time`
            (microseconds, UTC).
        """
        import polars as pl

        from mlopsfw.capture.frames import LABEL_COLUMNS

        for endpoint in self._project.captures.local():  # labels that came through an endpoint
            self._project.captures.compact(endpoint)
        try:
            rows = self._project.tables.scan(f"labels/{model}")
        except NotFound:
            return pl.LazyFrame(schema=LABEL_COLUMNS)
        last = rows.sort("label_time", "received_time", maintain_order=True).unique(
            "prediction_id", keep="last", maintain_order=True
        )
        return last.with_columns(_decoded(rows).alias("label"))

    def _manifest(self, version: ModelVersion) -> Manifest:
        """Return the manifest of a model's version, read from its blob alone."""
        from mlopsfw.bundle.stored import stored_manifest

        return stored_manifest(self._project.blobs, version.bundle)


def _check_calendar(rows: pl.DataFrame) -> None:
    """Raise `DataError` where a date or time is in no year that Python has: a Parquet file may hold year 0 or 29349."""
    import polars as pl

    for column in rows.select(pl.selectors.date(), pl.selectors.datetime()).get_columns():
        years = column.dt.year().fill_null(0)  # the year is null where it does not even fit a calendar
        wrong = (column.is_not_null() & ~years.is_between(MINYEAR, MAXYEAR)).arg_true()
        if len(wrong):
            raise DataError(f"row {wrong[0]}: `{column.name}` is outside the years 1 to 9999", hint="Correct the year.")


def _checked(
    row: Mapping[str, Any],
    number: int,
    manifest: Manifest,
    treatment: Treatment,
    when: Callable[[str | datetime | None], int],
) -> tuple[str, Label, int]:
    identity, label, moment = row.get("prediction_id"), row.get("label"), row.get("label_time")
    if not isinstance(identity, str) or not identity:
        raise DataError(
            f"row {number}: `prediction_id` is missing or no text", hint="Give each label its prediction's id."
        )
    if not isinstance(label, str | int | float | bool):
        raise DataError(f"row {number}: `label` is missing", hint="Leave out what has no label yet.")
    if moment is not None and not isinstance(moment, str | datetime):
        raise DataError(f"row {number}: `label_time` must be a time", hint="Write RFC 3339 with a zone.")
    try:
        return identity, as_class(treatment.value(manifest.target, label), manifest), when(moment)
    except DataError as error:
        raise DataError(f"row {number}: {error.message}", hint=error.hint) from None


def _decoded(rows: pl.LazyFrame) -> pl.Expr:
    """Return `label` decoded from JSON text: as numbers or booleans where all of them are, else as text."""
    import polars as pl

    first = pl.col("label").str.slice(0, 1)
    kinds = rows.select(text=(first == '"').any(), truth=first.is_in(["t", "f"]).all()).collect()
    if kinds["truth"][0]:
        return pl.col("label") == "true"
    return pl.col("label").str.json_decode(pl.String) if kinds["text"][0] else pl.col("label").cast(pl.Float64)
