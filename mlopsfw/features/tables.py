"""The executor for tables: takes a whole training table and returns feature arrays.

Blocks of rows are made in threads. Polars casts their columns; the core codes texts, and makes the numbers as it does for requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast, get_args

import msgspec
import numpy as np
import polars as pl

from mlopsfw.data.tables.prefetch import in_order
from mlopsfw.features.columns import RequestPlan
from mlopsfw.features.derive import with_derived
from mlopsfw.features.functions import objects
from mlopsfw.features.plan import CATEGORICAL, NUMERIC, Cycle, Hash, Lookup
from mlopsfw.features.signature import Signature
from mlopsfw.features.times import MISSING
from mlopsfw.kernel.base.errors import DataError, SignatureMismatch
from mlopsfw.kernel.roles.bundle import Dtype, ScalarType, SignatureColumn
from mlopsfw_core import hash_indices
from mlopsfw_core._encoding import Vocabulary, encode_texts

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.features.plan import FeaturePlan

_TEXT = (pl.String, pl.Categorical, pl.Enum)
_BLOCK = 1 << 15  # rows


def run(plan: FeaturePlan, rows: pl.DataFrame | pa.Table) -> dict[str, np.ndarray]:
    """Return the plan's `numeric` and `categorical` arrays for the rows of a table."""
    frame = as_frame(rows)
    for column in plan.inputs:
        _check(frame, column)
    if plan.derived:
        frame = with_derived(frame, plan.derived, plan.reads)
    arrays: dict[str, np.ndarray] = {}
    if plan.numeric_sources:
        arrays[NUMERIC] = np.empty((frame.height, len(plan.numeric_sources)), dtype=np.float32)
    if plan.categorical_sources:
        arrays[CATEGORICAL] = np.empty((frame.height, len(plan.categorical_sources)), dtype=np.int64)
    fills = {NUMERIC: _numeric_fill(plan), CATEGORICAL: _code_fill(plan)}

    def fill(start: int) -> None:
        block = frame.slice(start, _BLOCK)
        for name, out in arrays.items():
            fills[name](block, out[start : start + _BLOCK])

    for _ in in_order(fill, range(0, frame.height, _BLOCK)):
        pass
    return arrays


def as_frame(rows: pl.DataFrame | pa.Table) -> pl.DataFrame:
    """Return rows as a frame, with shared memory where possible."""
    if isinstance(rows, pl.DataFrame):
        return rows
    frame = pl.from_arrow(rows)
    return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()


def signature_of(rows: pl.DataFrame | pa.Table, names: Iterable[str]) -> tuple[SignatureColumn, ...]:
    """Return the signature of columns of a table, as a trainer declares it. Nullable is what holds a null.

    Raises:
        DataError: A column is of a type that no request could send.
    """
    frame = as_frame(rows)
    return tuple(_column(frame[name]) for name in names)


def _column(series: pl.Series) -> SignatureColumn:
    dtype, nullable = series.dtype, series.null_count() > 0
    simple = "binary" if dtype == pl.Binary else column_type(dtype)
    if simple is not None:
        return SignatureColumn(name=series.name, type=simple, nullable=nullable)
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.DataType):
        items = "binary" if dtype.inner == pl.Binary else column_type(dtype.inner)
        if items is not None:
            return SignatureColumn(name=series.name, type="list", items=items, nullable=nullable)
    if isinstance(dtype, pl.Array) and str(_inner(dtype)).lower() in get_args(Dtype):
        kind = cast("Dtype", str(_inner(dtype)).lower())
        return SignatureColumn(name=series.name, type="tensor", dtype=kind, shape=dtype.shape, nullable=nullable)
    raise DataError(f"the column {series.name!r} holds {dtype}, which no request could send")


def _inner(dtype: pl.Array) -> object:
    inner: object = dtype
    while isinstance(inner, pl.Array):
        inner = inner.inner
    return inner


def table_arrays(rows: pl.DataFrame | pa.Table, inputs: Iterable[SignatureColumn]) -> dict[str, np.ndarray]:
    """Return the inputs of a table's rows as arrays, as a model gets them. Any column may hold nulls.

    Raises:
        SignatureMismatch: A column is missing or has another type.
    """
    frame = as_frame(rows)
    arrays = {}
    for column in inputs:
        _check(frame, column)
        arrays[column.name] = _array(frame[column.name], column)
    return arrays


def _array(series: pl.Series, column: SignatureColumn) -> np.ndarray:
    if column.type == "number":
        return series.cast(pl.Float64).to_numpy()
    if column.type in ("integer", "boolean") and not series.null_count() and not series.dtype.is_decimal():
        return series.to_numpy()
    if column.type in ("date", "datetime"):
        moments = times(series).view("M8[us]")
        return moments.astype("M8[D]") if column.type == "date" else moments
    if column.type in ("list", "tensor"):
        loose = msgspec.structs.replace(column, nullable=True)
        return Signature((loose,)).arrays({column.name: series.to_list()})[column.name]
    return objects((series.cast(pl.String) if column.type == "string" else series).to_list())


def column_type(dtype: pl.DataType) -> ScalarType | None:
    """Return the signature's type for a column that a feature plan can read, or None."""
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Boolean:
        return "boolean"
    if isinstance(dtype, _TEXT):
        return "string"
    if dtype == pl.Date:
        return "date"
    return "datetime" if isinstance(dtype, pl.Datetime) else None


def _check(frame: pl.DataFrame, column: SignatureColumn) -> None:
    if column.name not in frame.columns:
        raise SignatureMismatch(f"the rows lack the column {column.name!r}, which the model needs", column=column.name)
    dtype = frame[column.name].dtype
    actual = _kind(dtype)
    numbers = ("number", "integer")
    if column.type == "tensor" and actual == "list":  # whether it is regular, its values say
        return
    if dtype != pl.Null and actual != column.type and not (actual in numbers and column.type in numbers):
        raise SignatureMismatch(
            f"column {column.name!r} holds {dtype}, but the model takes {column.type}", column=column.name
        )


def _kind(dtype: pl.DataType) -> str | None:
    if dtype == pl.Binary:
        return "binary"
    if isinstance(dtype, pl.List):
        return "list"
    return "tensor" if isinstance(dtype, pl.Array) else column_type(dtype)


_Fill = Callable[[pl.DataFrame, np.ndarray], None]


def _numeric_fill(plan: FeaturePlan) -> _Fill:
    """Return the function that fills the floats of a block."""
    request = RequestPlan(plan)
    moments = {op.column for op in plan.operations if isinstance(op, Cycle)}

    def fill(block: pl.DataFrame, out: np.ndarray) -> None:
        numbers = [block[name].cast(pl.Float64).rechunk() for name in request.numbers]
        request.fill(numbers, {name: times(block[name]) for name in moments}, out)

    return fill


def _code_fill(plan: FeaturePlan) -> _Fill:
    """Return the function that fills the codes of a block."""
    coded = list(enumerate(op for op in plan.operations if isinstance(op, Lookup | Hash)))
    lookups = [(at, op) for at, op in coded if isinstance(op, Lookup)]
    vocabularies = [Vocabulary(op.values) for _, op in lookups]

    def fill(block: pl.DataFrame, out: np.ndarray) -> None:
        texts = [block[op.column].cast(pl.String).rechunk() for _, op in lookups]
        encode_texts(vocabularies, texts, [at for at, _ in lookups], out)
        for at, op in coded:
            if isinstance(op, Hash):
                out[:, at] = hash_indices(block[op.column].cast(pl.String), op.buckets, op.seed)

    return fill


def times(series: pl.Series) -> np.ndarray:
    """Return a column of dates or times as int64 microseconds, with `MISSING` for null."""
    wide = series.dt.cast_time_unit("us") if isinstance(series.dtype, pl.Datetime) else series.cast(pl.Datetime("us"))
    return wide.to_physical().fill_null(MISSING).to_numpy()
