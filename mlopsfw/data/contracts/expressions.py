"""The two small languages of a contract: SQL conditions and patterns. Polars reads them; anything it cannot use is refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*")
_QUERY = re.compile(r"\bselect\b", re.IGNORECASE)  # every query contains it
_LONGEST = 10_000  # characters


def parse_sql(text: str) -> pl.Expr:
    """Return a condition as an expression. Raise `DataError` if it is none. A query is refused, since it could open a file."""
    import polars as pl

    hint = "Write an SQL expression as Polars reads it, such as departed <= arrived."
    if len(text) > _LONGEST:
        raise DataError(f"the condition is too long: it has {len(text):,} characters", hint=hint)
    if _QUERY.search(_QUOTED.sub("''", text)):
        raise DataError(f"{text!r} is a query, not a condition on a row", hint=hint)
    try:
        return pl.sql_expr(text)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{text!r} cannot be read: {error}", hint=hint) from None


def whole(pattern: str) -> str:
    """Return a pattern that matches whole texts."""
    return f"^(?:{pattern})$"


def usable_pattern(pattern: str) -> str:
    """Return `pattern` if it is a regular expression. Raise `UsageError`."""
    import polars as pl

    for tried in (pattern, whole(pattern)):  # both: `)(` alone would be invalid, but closes the surrounding group
        try:
            pl.Series([""]).str.contains(tried, strict=True)
        except pl.exceptions.PolarsError as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"{pattern!r} is not a regular expression: {reason}",
                hint="Write it in the syntax of Rust's regex crate, without look-around.",
            ) from None
    return pattern


_ROW_WISE = frozenset({"StringExpr", "TemporalExpr", "Abs", "Coalesce", "FillNull", "Pow", "Round", "Floor", "Ceil"})
_ROW_WISE_LOGIC = frozenset(
    {"IsNull", "IsNotNull", "IsNan", "IsNotNan", "IsIn", "IsBetween", "Not", "AnyHorizontal", "AllHorizontal"}
)


def is_of_a_row(expression: pl.Expr) -> bool:
    """Return whether an expression depends only on the values of one row: all its parts are known to work row by row."""
    return _row_wise(json.loads(expression.meta.serialize(format="json")))


def _row_wise(node: Any) -> bool:  # noqa: PLR0911 - one for each kind
    if not isinstance(node, dict) or len(node) != 1:
        return False
    ((kind, inner),) = node.items()
    match kind:
        case "Column" | "Literal":
            return True
        case "Cast":
            return _row_wise(inner["expr"])
        case "BinaryExpr":
            return _row_wise(inner["left"]) and _row_wise(inner["right"])
        case "Ternary":
            return all(_row_wise(inner[part]) for part in ("predicate", "truthy", "falsy"))
        case "Function":
            return _is_known(inner["function"]) and all(_row_wise(part) for part in inner["input"])
    return False


def _is_known(function: Any) -> bool:
    if isinstance(function, str):
        return function in _ROW_WISE
    ((family, name),) = function.items()
    if family == "Boolean":
        return (name if isinstance(name, str) else next(iter(name))) in _ROW_WISE_LOGIC
    return family in _ROW_WISE
