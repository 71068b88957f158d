"""The executor for tables: takes a whole training table and returns feature arrays.

Polars reads the columns and codes the texts; the numbers of a block of rows are computed by the executor for requests.
"""

from __future__ import annotations

from collections.abc import Iterable
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

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.features.plan import FeaturePlan

_TEXT = (pl.String, pl.Categorical, pl.Enum)
_BLOCK = 1 << 14  # rows


def run(plan: FeaturePlan, rows: pl.DataFrame | pa.Table) -> dict[str, np.ndarray]:
    """Return the plan's `numeric` and `categorical` arrays for the rows of a table."""
    frame = as_frame(rows)
    for column in plan.inputs:
        _check(frame, column)
    if plan.derived:
        frame = with_derived(frame, plan.derived, plan.reads)
    arrays: dict[str, np.ndarray] = {}
    if plan.numeric_sources:
        arrays[NUMERIC] = _numeric(plan, frame)
    coded = [op for op in plan.operations if isinstance(op, Lookup | Hash)]
    if coded:
        codes = np.empty((frame.height, len(coded)), dtype=np.int64)
        for at, values in enumerate(in_order(lambda op: _codes(op, frame[op.column].cast(pl.String)), coded)):
            codes[:, at] = values
        arrays[CATEGORICAL] = codes
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


def _numeric(plan: FeaturePlan, frame: pl.DataFrame) -> np.ndarray:
    """Return the floats, made block by block in threads, so that a block stays in the processor's cache."""
    out = np.empty((frame.height, len(plan.numeric_sources)), dtype=np.float32)
    request = RequestPlan(plan)
    moments = {op.column for op in plan.operations if isinstance(op, Cycle)}
    numbers = frame.select(request.numbers)

    def fill(start: int) -> None:
        part, rows = numbers.slice(start, _BLOCK), frame.slice(start, _BLOCK)
        columns = [column.cast(pl.Float64).rechunk() for column in part.get_columns()]
        request.fill(columns, {name: times(rows[name]) for name in moments}, out[start : start + _BLOCK])

    for _ in in_order(fill, range(0, frame.height, _BLOCK)):
        pass
    return out


def times(series: pl.Series) -> np.ndarray:
    """Return a column of dates or times as int64 microseconds, with `MISSING` for null."""
    wide = series.dt.cast_time_unit("us") if isinstance(series.dtype, pl.Datetime) else series.cast(pl.Datetime("us"))
    return wide.to_physical().fill_null(MISSING).to_numpy()


def _codes(operation: Lookup | Hash, texts: pl.Series) -> np.ndarray:
    if isinstance(operation, Hash):
        return hash_indices(texts, operation.buckets, operation.seed)
    indices = texts.cast(pl.Enum(operation.values), strict=False).to_physical().cast(pl.UInt32)
    codes: np.ndarray = indices.fill_null(len(operation.values)).to_numpy() + np.uint32(1)
    if texts.null_count():
        codes[texts.is_null().to_numpy()] = 0
    return codes
