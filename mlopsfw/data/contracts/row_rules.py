"""Rules on single rows as expressions: true where a row breaks the rule, false where it has no value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlopsfw.data.contracts.expressions import whole
from mlopsfw.data.contracts.kinds import kind_of, missing
from mlopsfw.data.contracts.model import Bound, ColumnRules, Order
from mlopsfw.data.tables.calendar import instant_literal
from mlopsfw.kernel.base.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 6  # values named in words


def words(rule: str, rules: ColumnRules) -> str:
    """Return the requirement of a rule, in words."""
    if rule == "range":
        assert rules.range is not None  # noqa: S101 - the caller asks for rules that there are
        least, greatest = rules.range
        if greatest == "":
            return f"{least} or more"
        return f"{greatest} or less" if least == "" else f"from {least} to {greatest}"
    if rule == "pattern":
        return f"of the form {rules.pattern}"
    listed = [str(value) for value in rules.values or ()]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"one of {', '.join(listed[:_SHOWN])}{more}"


def failing(rule: str, name: str, rules: ColumnRules, dtype: Any) -> pl.Expr:
    """Return where a column breaks its `range`, `values` or `pattern`. Raise `DataError` if its type has no such rule."""
    import polars as pl

    column = pl.col(name)
    match rule:
        case "range":
            wrong = _outside(column, rules.range or ("", ""), dtype)
        case "values":
            wrong = _strange(column, rules.values or (), dtype)
        case _:
            wrong = _text(column, dtype).str.contains(whole(rules.pattern or "")).not_()
    return wrong & column.is_not_nan() if dtype.is_float() else wrong  # null without a value, which counts as kept


def _outside(column: pl.Expr, bounds: tuple[Bound, Bound], dtype: Any) -> pl.Expr:
    import polars as pl

    kind = kind_of(dtype)
    if kind == "string":
        column = column.cast(pl.String)
    least, greatest = (None if bound == "" else _literal(bound, kind, dtype) for bound in bounds)
    if least is not None and greatest is not None:
        return column.is_between(least, greatest).not_()
    if least is not None:
        return column < least
    return column > greatest if greatest is not None else pl.lit(value=False)


def _literal(bound: Bound, kind: str, dtype: Any) -> pl.Expr:
    """Return a bound as a value of the column's kind. Raise `DataError`."""
    import polars as pl

    number = isinstance(bound, int | float)
    if kind in ("integer", "number") and number:
        return pl.lit(bound)
    if kind == "string" and isinstance(bound, str):
        return pl.lit(bound)
    if kind == "time" and isinstance(bound, str):
        return pl.lit(_time(bound))
    if kind == "duration" and number:
        return pl.lit(dt.timedelta(seconds=float(bound)))
    if kind in ("date", "datetime") and isinstance(bound, str):
        try:
            return instant_literal(bound, dtype)
        except UsageError as error:
            raise DataError(error.message) from None
    raise DataError(f"{kind} ({dtype}) cannot be compared with {bound!r}")


def _time(text: str) -> dt.time:
    try:
        return dt.time.fromisoformat(text)
    except ValueError:
        raise DataError(f"{text!r} is not a time of day") from None


def _strange(column: pl.Expr, allowed: Sequence[Any], dtype: Any) -> pl.Expr:
    import polars as pl

    kind = kind_of(dtype)
    if kind in ("date", "datetime"):
        return pl.any_horizontal([column == _literal(value, kind, dtype) for value in allowed]).not_()
    if kind not in _SETS:
        raise DataError(f"{kind} ({dtype}) cannot have a set of values")
    if any(not isinstance(value, _SETS[kind]) or (isinstance(value, bool) and kind != "boolean") for value in allowed):
        raise DataError(f"{kind} ({dtype}) cannot be compared with a set of other types")
    dtype_of_set: Any = {"string": pl.String, "boolean": pl.Boolean, "integer": pl.Int64}.get(kind, pl.Float64)
    if kind == "integer" and any(isinstance(value, float) for value in allowed):
        dtype_of_set = pl.Float64
    return column.cast(dtype_of_set).is_in(pl.Series(allowed, dtype=dtype_of_set).implode()).not_()


_SETS: dict[str, Any] = {"integer": (int, float), "number": (int, float), "string": (str,), "boolean": (bool,)}


def _text(column: pl.Expr, dtype: Any) -> pl.Expr:
    import polars as pl

    if kind_of(dtype) != "string":
        raise DataError(f"{kind_of(dtype)} ({dtype}) is not text")
    return column.cast(pl.String)


def out_of_order(name: str, order: Order, dtype: Any) -> pl.Expr:
    """Return where a value breaks the order with the last value before it."""
    import polars as pl

    column = pl.when(missing(pl.col(name), dtype)).then(None).otherwise(pl.col(name))
    before = column.forward_fill().shift(1)
    match order:
        case "increasing":
            wrong = column < before
        case "strictly increasing":
            wrong = column <= before
        case "decreasing":
            wrong = column > before
        case _:
            wrong = column >= before
    return wrong


def complete(columns: Sequence[str], schema: Mapping[str, Any]) -> pl.Expr:
    """Return where no column lacks its value."""
    import functools
    import operator

    import polars as pl

    parts = [missing(pl.col(name), schema[name]).not_() for name in columns]
    return functools.reduce(operator.and_, parts)
