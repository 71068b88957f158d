"""A contract's rules as expressions over a table with given columns, to count them all in one pass."""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlopsfw.data.contracts import row_rules
from mlopsfw.data.contracts.expressions import parse_sql
from mlopsfw.data.contracts.kinds import count_missing, fits, kind_of, missing
from mlopsfw.data.contracts.model import ColumnRules, Condition, Contract, Key, Level
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.base.spans import duration

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True)
class Check:
    """One rule.

    Args:
        rule: Its kind.
        columns: Its columns.
        level: What breaking it means.
        expected: The requirement, in words.
        failing: True for a row that breaks it; None if single rows do not decide.
        count: How many rows break it; None if the schema or `newest` decides.
        allow: The share of rows that may break it.
        whole: Whether to round that share up to whole rows.
        height: How many values `failing` has: 1 for a condition on the table.
        newest: The newest time, for freshness.
        oldest: The oldest allowed `newest`.
        found: The fault, if the schema shows one, or why the rule cannot be evaluated.
    """

    rule: str
    columns: tuple[str, ...]
    level: Level
    expected: str
    failing: pl.Expr | None = None
    count: pl.Expr | None = None
    allow: float = 0.0
    whole: bool = True
    height: pl.Expr | None = None
    newest: pl.Expr | None = None
    oldest: dt.timedelta | None = None
    found: str = ""

    def tolerated(self, rows: int) -> float:
        """Return how many rows may break the rule."""
        share = self.allow * rows
        return math.ceil(share - 1e-9) if self.whole else share + 1e-9


def compile_checks(contract: Contract, schema: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a contract on a table with the columns `schema` (name → Polars type)."""
    for name, rules in contract.columns.items():
        if name in schema:
            yield from _of_column(name, rules, schema[name])
        elif not rules.optional:
            yield Check(rule="column", columns=(name,), level="fail", expected="there", found=_absent(name, schema))
    if contract.table.only:
        yield from _unexpected(contract, schema)
    for key in contract.unique:
        yield _of_key(key, schema)
    for condition in contract.rule:
        yield _of_condition(condition, schema)


def _absent(name: str, schema: Mapping[str, Any]) -> str:
    hint = f". {close}" if (close := nearest(name, schema)).startswith("Did") else ""
    return f"column {name!r} is missing{hint}"


def _unexpected(contract: Contract, schema: Mapping[str, Any]) -> Iterator[Check]:
    level = contract.table.level("only")
    strange = [name for name in schema if name not in contract.columns]
    for name in strange:
        hint = f" {hint}" if (hint := nearest(name, contract.columns)).startswith("Did") else ""
        problem = f"column {name!r} is not expected.{hint}"
        yield Check(
            rule="only", columns=(name,), level=level, expected="columns that the contract names", found=problem
        )
    if not strange:
        yield Check(rule="only", columns=(), level=level, expected="columns that the contract names")


# -- of one column ---------------------------------------------------------------------------------------------------------


def _of_column(name: str, rules: ColumnRules, dtype: Any) -> Iterator[Check]:
    import polars as pl

    make = functools.partial(_column_check, name, rules)
    if rules.type is not None:
        yield _type_check(name, rules, dtype)
    if rules.nulls is not None:
        absent, count = missing(pl.col(name), dtype), count_missing(pl.col(name), dtype)
        expected = f"at most {rules.nulls * 100:.6g}% missing"
        yield make("nulls", expected=expected, failing=absent, count=count, allow=rules.nulls, whole=False)
    for rule in ("range", "values", "pattern"):
        if getattr(rules, rule) is not None:
            expected = row_rules.words(rule, rules)
            try:
                failing = row_rules.failing(rule, name, rules, dtype)
                yield make(rule, expected=expected, failing=failing, count=failing.sum(), allow=rules.allow)
            except DataError as error:
                yield make(rule, expected=expected, found=error.message)
    if rules.unique:
        yield _unique_check((name,), rules.level("unique"), {name: dtype})
    if rules.order is not None:
        failing = row_rules.out_of_order(name, rules.order, dtype)
        yield make("order", expected=rules.order, failing=failing, count=failing.sum())
    if rules.freshness is not None:
        yield _freshness_check(make, rules.freshness, name, dtype)


def _column_check(name: str, rules: ColumnRules, rule: str, **facts: Any) -> Check:
    return Check(rule=rule, columns=(name,), level=rules.level(rule), **facts)


def _type_check(name: str, rules: ColumnRules, dtype: Any) -> Check:
    """Compare kinds. A column without values has every kind, whatever type the reader of a file gave it."""
    import polars as pl

    facts: dict[str, Any] = {
        "rule": "type",
        "columns": (name,),
        "level": rules.level("type"),
        "expected": str(rules.type),
    }
    if fits(dtype, str(rules.type)):
        return Check(**facts)
    return Check(**facts, count=pl.col(name).is_not_null().sum(), found=f"{kind_of(dtype)} ({dtype})")


def _freshness_check(make: Callable[..., Check], limit: str, name: str, dtype: Any) -> Check:
    import polars as pl

    expected = f"at most {limit} old"
    if dtype not in (pl.Date, pl.Datetime):
        return make("freshness", expected=expected, found=f"{kind_of(dtype)} has no age")
    return make("freshness", expected=expected, newest=pl.col(name).max(), oldest=duration(limit))


# -- of several ------------------------------------------------------------------------------------------------------------


def _of_key(key: Key, schema: Mapping[str, Any]) -> Check:
    absent = [name for name in key.columns if name not in schema]
    if absent:
        problem = _absent(absent[0], schema)
        return Check(rule="unique", columns=key.columns, level=key.level, expected="unique", found=problem)
    return _unique_check(key.columns, key.level, schema)


def _unique_check(columns: tuple[str, ...], level: Level, schema: Mapping[str, Any]) -> Check:
    """Count repeated rows. Only this check takes memory that grows with the rows."""
    import polars as pl

    facts: dict[str, Any] = {"rule": "unique", "columns": columns, "level": level, "expected": "unique"}
    nested = next((name for name in columns if schema[name].is_nested() or schema[name] == pl.Object), None)
    if nested:
        return Check(**facts, found=f"{kind_of(schema[nested])} cannot be compared")
    if len(columns) == 1 and not schema[columns[0]].is_float():
        column = pl.col(columns[0])
        absent = column.null_count()
        return Check(**facts, count=pl.len() - absent + (absent > 0) - column.n_unique())  # null counts as one value
    complete = row_rules.complete(columns, schema)
    return Check(**facts, count=complete.sum() - pl.struct(columns).filter(complete).n_unique())


def _of_condition(condition: Condition, schema: Mapping[str, Any]) -> Check:
    import polars as pl

    expression = parse_sql(condition.that)
    named = tuple(dict.fromkeys(expression.meta.root_names()))
    facts: dict[str, Any] = {
        "rule": condition.name or "rule", "columns": named, "level": condition.level,
        "expected": condition.that, "allow": condition.allow,
    }  # fmt: skip
    if absent := [name for name in named if name not in schema]:
        return Check(**facts, found=_absent(absent[0], schema))
    try:
        kind = pl.LazyFrame(schema=dict(schema)).select(holds=expression).collect_schema()["holds"]
    except pl.exceptions.PolarsError as error:
        return Check(**facts, found=f"cannot be judged: {_first_line(error)}")
    if kind not in (pl.Boolean, pl.Null):
        return Check(**facts, found=f"gives {kind}, not true or false")
    failing = expression.cast(pl.Boolean).not_()
    return Check(**facts, failing=failing, count=failing.sum(), height=failing.len())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
