"""The kinds of columns in a contract, and when a value is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl


def kind_of(dtype: Any) -> str:
    """Return a column's kind, in the contract's word; `null` for a column that never had a value."""
    import polars as pl

    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "string"
    if dtype in (pl.List, pl.Array):
        return "list"
    plain = {pl.Boolean: "boolean", pl.Date: "date", pl.Time: "time", pl.Binary: "binary", pl.Null: "null"}
    wide = {pl.Datetime: "datetime", pl.Duration: "duration", pl.Struct: "struct"}
    return next((kind for candidate, kind in (plain | wide).items() if dtype == candidate), str(dtype).lower())


def fits(dtype: Any, kind: str) -> bool:
    """Return whether a column has a kind: integers are numbers too, and a column of nulls has every kind."""
    actual = kind_of(dtype)
    return actual in (kind, "null") or (actual, kind) == ("integer", "number")


def missing(column: pl.Expr, dtype: Any) -> pl.Expr:
    """Return where a column has no value: null, and NaN for floating-point numbers."""
    return column.is_null() | column.is_nan() if dtype.is_float() else column.is_null()


def count_missing(column: pl.Expr, dtype: Any) -> pl.Expr:
    """Return how many values of a column are missing."""
    return column.null_count() + column.is_nan().sum() if dtype.is_float() else column.null_count()
