"""Score rows offline with a loaded bundle: the same plan and runtime as a server."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlopsfw.kernel.base.errors import DataError, SignatureMismatch
from mlopsfw.models.bundle.answers import as_lists

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import polars as pl

    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.kernel.roles.bundle import Manifest, SignatureColumn
    from mlopsfw.kernel.roles.reading import ReadOptions
    from mlopsfw.models.bundle.loaded import LoadedBundle

_READ_AS = {"string": "string", "number": "double", "boolean": "bool"}
"""The types of a signature for which CSV texts are read directly; whole numbers and times are inferred, and checked."""

PREDICTION = "prediction"
"""The column that has a classifier's predicted class, beside the rows of a file."""

_BATCH = 65_536  # rows scored at a time


class Extras(NamedTuple):
    """What an answer holds beside the outputs, where it is asked for. A server captures none of it.

    Args:
        alpha: Intervals or sets that miss the truth in at most this share of rows.
        explain: What each input contributes to the answer.
    """

    alpha: float | None = None
    explain: bool = False


NO_EXTRAS = Extras()

CONTRIBUTION = "contribution"
"""The extra with the part that all answers share. `contribution[INPUT]` has the contribution of an input."""


def answer(bundle: LoadedBundle, columns: Mapping[str, Any], extras: Extras = NO_EXTRAS) -> Mapping[str, np.ndarray]:
    """Return a bundle's outputs for columns, as its `predict` takes them, and the extras by their names. Raise `UsageError` where it has none."""
    if extras == NO_EXTRAS:
        return bundle.predict(columns)
    outputs = bundle.predict(columns) if extras.alpha is None else bundle.predict_uncertain(columns, extras.alpha)
    if not extras.explain:
        return outputs
    names = extra_names(bundle.manifest, Extras(explain=True))
    return {**outputs, **dict(zip(names, bundle.explain(columns).values(), strict=True))}


def extra_names(manifest: Manifest, extras: Extras) -> list[str]:
    """Return the names of extras: the ends of an interval or a set, and the contributions."""
    uncertain = uncertain_names(manifest) if extras.alpha is not None else []
    if not extras.explain:
        return uncertain
    return [*uncertain, CONTRIBUTION, *(f"{CONTRIBUTION}[{column.name}]" for column in manifest.inputs)]


def score(bundle: LoadedBundle, rows: pl.DataFrame, extras: Extras = NO_EXTRAS) -> pl.DataFrame:
    """Return `rows` with one column for each output of `bundle`, and for each of the extras, as `in_file` has them."""
    import polars as pl

    missing = [column.name for column in bundle.manifest.inputs if column.name not in rows.columns]
    if missing:
        raise SignatureMismatch(f"the rows lack {', '.join(missing)}, which the model needs")
    scored: list[pl.DataFrame] = []
    for number, part in enumerate(rows.iter_slices(_BATCH)):
        columns = {column.name: request_values(part[column.name], column) for column in bundle.manifest.inputs}
        try:
            outputs = as_lists(answer(bundle, columns, extras))
        except SignatureMismatch as error:
            raise error.counted_from(number * _BATCH) from None
        values = in_file(bundle.manifest, outputs)
        scored.append(part.with_columns(**{name: pl.Series(each) for name, each in values.items()}))
    return pl.concat(scored) if scored else rows


def in_file(manifest: Manifest, outputs: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return an answer's values as rows of a file have them: of a set the classes in it, of contributions those to the likeliest class."""
    main, classes = outputs[manifest.outputs[0].name], manifest.classes
    values = dict(outputs)
    for name in uncertain_names(manifest) if classes else ():
        if name in values:
            values[name] = [list(itertools.compress(classes, held)) for held in values[name]]
    for name in extra_names(manifest, Extras(explain=True)):
        if name in values and manifest.task == "multiclass":
            values[name] = [each[_largest(row)] for each, row in zip(values[name], main, strict=True)]
    return values


def _largest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def added_names(manifest: Manifest) -> list[str]:
    """Return the columns that scoring a file adds: the outputs, and the predicted class of a classifier."""
    return [*(output.name for output in manifest.outputs), *([PREDICTION] if _tells_class(manifest) else [])]


def uncertain_names(manifest: Manifest) -> list[str]:
    """Return the columns that intervals or sets add: the ends, or the classes that a row's set holds."""
    ends = ("set",) if manifest.classes else ("low", "high")
    return [f"{manifest.outputs[0].name}.{end}" for end in ends]


def _tells_class(manifest: Manifest) -> bool:
    own = {column.name for column in (*manifest.inputs, *manifest.outputs)}
    return manifest.task in {"binary", "multiclass"} and PREDICTION not in own


def with_class(scored: pl.DataFrame, manifest: Manifest) -> pl.DataFrame:
    """Return scored rows with the class that a classifier predicts beside its probabilities.

    That is the most probable class, the first of equals; of two classes the second one from a probability of 0.5 on. A row
    without a probability has no class.
    """
    import polars as pl

    if not _tells_class(manifest):
        return scored
    probability = pl.col(manifest.outputs[0].name)
    chosen = (probability >= 0.5).cast(pl.UInt32) if manifest.task == "binary" else probability.list.arg_max()  # noqa: PLR2004
    classes = pl.lit(pl.Series(list(manifest.classes)))
    return scored.with_columns(classes.gather(chosen).alias(PREDICTION))


def by_class(scored: pl.DataFrame, manifest: Manifest) -> pl.DataFrame:
    """Return scored rows with a column for each class, `OUTPUT[CLASS]`, instead of each output that is a list with a value for each class.

    Of a set of classes, `OUTPUT.set[CLASS]` says whether it holds the class.
    """
    import polars as pl

    classes = manifest.classes
    flat: dict[str, list[pl.Expr]] = {}
    for name in [output.name for output in manifest.outputs] if manifest.task == "multiclass" else []:
        if isinstance(scored.schema[name], pl.List):
            flat[name] = [pl.col(name).list.get(place, null_on_oob=True) for place in range(len(classes))]
    for name in uncertain_names(manifest) if classes else []:
        if name in scored.columns:
            flat[name] = [pl.col(name).list.contains(label) for label in classes]
    named = {
        name: [each.alias(f"{name}[{label}]") for each, label in zip(values, classes, strict=True)]
        for name, values in flat.items()
    }
    check_names(scored.columns, (each.meta.output_name() for values in named.values() for each in values))
    return scored.select(each for column in scored.columns for each in named.get(column, [pl.col(column)]))


def check_names(columns: Iterable[str], added: Iterable[str]) -> None:
    """Raise `DataError` where rows already have a column of a name that scoring adds: it would be overwritten."""
    taken = sorted(set(columns) & set(added))
    if taken:
        raise DataError(
            f"the rows have a column {taken[0]!r}, and the answers are called so too",
            hint="Rename or drop that column: the model's outputs come beside the rows.",
        )


def request_values(series: pl.Series, column: SignatureColumn) -> list[Any]:
    """Return a column as a request would send it."""
    if column.type == "datetime" and series.dtype.is_temporal():
        zone = "Z" if getattr(series.dtype, "time_zone", None) in (None, "UTC") else "%:z"
        return series.dt.to_string(f"%Y-%m-%dT%H:%M:%S%.f{zone}").to_list()
    if column.type == "date" and series.dtype.is_temporal():
        return series.dt.to_string("%Y-%m-%d").to_list()
    if column.type in {"number", "integer"} and series.dtype.is_decimal():
        return [None if value is None else int(value) if value == int(value) else float(value) for value in series]
    return series.to_list()


def rows_for(
    formats: Formats, inputs: Iterable[SignatureColumn], file: Path, options: ReadOptions | None = None, sheet: str = ""
) -> pl.DataFrame:
    """Return the rows of a file; columns of a CSV file get the types of the model's signature. See `read_rows`.

    Raises:
        SignatureMismatch: A text of a CSV file is no whole number, in a column of them.
    """
    from mlopsfw.data.intake.inferred import is_typed

    rows = read_rows(formats, file, as_signature(formats, inputs, file, options), sheet)
    return rows if is_typed(formats, file) else with_whole_numbers(rows, inputs)


def with_whole_numbers(rows: pl.DataFrame, inputs: Iterable[SignatureColumn], first: int = 0) -> pl.DataFrame:
    """Return rows of a CSV file with whole numbers in the model's columns of them: one code or word made texts of all.

    Args:
        rows: The rows.
        inputs: The model's columns.
        first: The number of the first row, for errors.

    Raises:
        SignatureMismatch: A text is no whole number.
    """
    import polars as pl

    for name in (column.name for column in inputs if column.type == "integer"):
        if rows.schema.get(name) != pl.String:
            continue
        texts = rows[name]
        numbers = texts.str.strip_chars().str.replace(r"\.0*$", "").str.strip_prefix("+").cast(pl.Int64, strict=False)
        if len(wrong := (numbers.is_null() & texts.is_not_null()).arg_true()):
            raise SignatureMismatch(f"{texts[wrong[0]]!r} is not of type integer", column=name, row=first + wrong[0])
        rows = rows.with_columns(numbers)
    return rows


def as_signature(
    formats: Formats, inputs: Iterable[SignatureColumn], file: Path, options: ReadOptions | None = None
) -> ReadOptions:
    """Return `options` with the types of a model's signature for the columns of the file that the caller did not declare."""
    from mlopsfw.kernel.roles.reading import ReadOptions

    kinds = {column.name: _READ_AS[column.type] for column in inputs if column.type in _READ_AS}
    return as_declared(formats, file, options or ReadOptions(), kinds)


def read_rows(formats: Formats, file: Path, options: ReadOptions | None = None, sheet: str = "") -> pl.DataFrame:
    """Return the rows of a file, read as `data add` reads it.

    Args:
        formats: The formats that read files.
        file: The file.
        options: The format of the file, with known types.
        sheet: The sheet of a workbook.

    Raises:
        DataError: It cannot be read (with the line, if it has lines), or its suffix names no known format.
    """
    from mlopsfw.data.intake.inferred import InferredFile, as_frame, table_of
    from mlopsfw.kernel.roles.reading import ReadOptions

    return as_frame(InferredFile(formats, file, options or ReadOptions(), sheet).take(table_of))


def as_declared(formats: Formats, file: Path, options: ReadOptions, kinds: Mapping[str, str]) -> ReadOptions:
    """Return `options` with the types of `kinds` for the columns of the file that the caller did not declare.

    Args:
        formats: The formats that read files.
        file: The file.
        options: The format of the file.
        kinds: Column → type.
    """
    from msgspec.structs import replace

    from mlopsfw.data.intake.inferred import header_of, is_typed

    if is_typed(formats, file):
        return replace(options, expected={name: kind for name, kind in kinds.items() if kind == "string"})
    names = header_of(formats, file, options)
    return replace(options, types={name: kind for name, kind in kinds.items() if name in names} | options.types)
