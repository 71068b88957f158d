"""Evaluate a contract on rows: all rules in one streamed pass, then a few example rows for each broken rule."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.contracts.checks import Check, compile_checks
from mlopsfw.data.contracts.examples import rows_that_break
from mlopsfw.data.contracts.model import Contract, TableRules
from mlopsfw.data.contracts.results import HIDDEN, Report, Result, worst_first

if TYPE_CHECKING:
    import polars as pl


def judge(
    rows: pl.LazyFrame,
    contract: Contract,
    *,
    now: dt.datetime,
    subject: str = "",
    file: str = "",
    digest: str = "",
    personal: Collection[str] = (),
    examples: int = 5,
) -> Report:
    """Return the report of a contract on rows. Broken rules raise nothing.

    Args:
        rows: The rows, read in one streamed pass. Only `unique` needs memory that grows with them.
        contract: The rules. `mlopsfw.data.contracts.distribution` evaluates `distribution`.
        now: The time for `freshness`.
        subject: The name of the rows, for the report.
        file: The contract's file, for the report.
        digest: The contract's digest, for the report.
        personal: Columns whose values the report must not show.
        examples: How many failing rows to keep for each broken rule.
    """
    schema = dict(rows.collect_schema())
    checks = list(compile_checks(contract, schema))
    height, measurements = _measure(rows, checks)
    results = [_judge(check, measured, height, now) for check, measured in zip(checks, measurements, strict=True)]
    results += _judge_size(contract.table, height)
    broken = {
        index: check
        for index, (check, measured) in enumerate(zip(checks, measurements, strict=True))
        if results[index].status != "pass" and _is_of_rows(measured, height)
    }
    samples = rows_that_break(rows, broken, schema, personal, examples) if examples and broken else {}
    results = [_with_examples(result, samples.get(index, ())) for index, result in enumerate(results)]
    if personal:
        results = [_discreet(result, personal) for result in results]
    return Report(subject=subject, contract=file, digest=digest, rows=height, results=worst_first(results))


_WORDS = {"nulls": "{share:.2%} are missing", "unique": "some occur more than once", "order": "some are out of order"}

_FAULT = "cannot be evaluated"

Measured = Mapping[str, Any] | str
"""The values of a check's expressions, or why they could not be evaluated."""


def _measure(rows: pl.LazyFrame, checks: Sequence[Check]) -> tuple[int, list[Measured]]:
    """Return the number of rows, and the measurements of each check.

    Rules on order get a pass of their own: beside other aggregates Polars would hold their whole columns in memory.
    """
    import polars as pl

    plans = [_expressions(check) for check in checks]
    ordered = {index for index, check in enumerate(checks) if check.rule == "order"}
    plain = {
        f"{index} {name}": e
        for index, expressions in enumerate(plans)
        if index not in ordered
        for name, e in expressions.items()
    }
    sequential = {f"{index} {name}": e for index in ordered for name, e in plans[index].items()}
    try:
        row = rows.select(pl.len().alias("rows"), **plain).collect(engine="streaming").row(0, named=True)
        row |= rows.select(**sequential).collect(engine="streaming").row(0, named=True) if sequential else {}
    except pl.exceptions.PolarsError:
        return _measure_singly(rows, plans)
    return row["rows"], [
        {name: row[f"{index} {name}"] for name in expressions} for index, expressions in enumerate(plans)
    ]


def _is_of_rows(measured: Measured, rows: int) -> bool:
    """Return whether a check counts single rows, so that there are rows to show; a condition on the table does not."""
    return not isinstance(measured, str) and bool(measured.get("failing")) and measured.get("height", rows) == rows


def _measure_singly(rows: pl.LazyFrame, plans: Sequence[Mapping[str, pl.Expr]]) -> tuple[int, list[Measured]]:
    """Find the rule that cannot be evaluated (such as a cast that fails on some row), so that the others still are."""
    import polars as pl

    height = rows.select(pl.len()).collect(engine="streaming").item()  # raises if the rows themselves cannot be read
    measurements: list[Measured] = []
    for expressions in plans:
        try:
            measurements.append(
                rows.select(pl.len().alias("rows"), **expressions).collect(engine="streaming").row(0, named=True)
            )
        except pl.exceptions.PolarsError as error:
            measurements.append(f"{_FAULT}: {str(error).strip().partition(chr(10))[0]}")
    return height, measurements


def _expressions(check: Check) -> dict[str, pl.Expr]:
    parts = {"failing": check.count, "height": check.height, "newest": check.newest}
    return {name: each for name, each in parts.items() if each is not None}


def _judge(check: Check, measured: Measured, rows: int, now: dt.datetime) -> Result:
    facts: dict[str, Any] = {
        "rule": check.rule,
        "columns": check.columns,
        "level": check.level,
        "expected": check.expected,
    }
    if isinstance(measured, str):
        return Result(**facts, status=check.level, found=measured)
    if check.oldest is not None:
        return _judge_age(check.oldest, facts, measured["newest"], now)
    if check.count is None:
        return Result(**facts, status=check.level if check.found else "pass", found=check.found)
    failing, of = int(measured["failing"] or 0), min(rows, measured.get("height", rows))
    broken = failing > check.tolerated(of)
    share = failing / max(of, 1)
    finding = check.found or _WORDS.get(check.rule, "it does not hold").format(share=share)
    return Result(
        **facts, status=check.level if broken else "pass", failing=failing, share=share, found=finding if broken else ""
    )


def _judge_age(oldest: dt.timedelta, facts: dict[str, Any], newest: dt.date | None, now: dt.datetime) -> Result:
    if newest is None:
        return Result(**facts, status=facts["level"], found="there is no value")
    age = now - _as_moment(newest)
    if age <= oldest:
        return Result(**facts, status="pass")
    return Result(**facts, status=facts["level"], found=f"the newest is {newest}, {_days(age)} old")


def _as_moment(newest: dt.date) -> dt.datetime:
    """Return a time with its zone, UTC by default. A date ends with its day."""
    if not isinstance(newest, dt.datetime):
        return dt.datetime.combine(newest, dt.time.max, tzinfo=dt.UTC)
    return newest if newest.tzinfo else newest.replace(tzinfo=dt.UTC)


def _days(age: dt.timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours / 24:,.1f} days" if hours >= 48 else f"{hours:,.1f} hours"  # noqa: PLR2004 - two days


def _judge_size(table: TableRules, rows: int) -> list[Result]:
    limits = [("min_rows", table.min_rows or None, "at least"), ("max_rows", table.max_rows, "at most")]
    results = []
    for rule, limit, word in limits:
        if limit is not None:
            broken = rows < limit if rule == "min_rows" else rows > limit
            level, finding = table.level(rule), f"there are {rows:,}"
            results.append(
                Result(
                    rule=rule,
                    columns=(),
                    level=level,
                    status=level if broken else "pass",
                    expected=f"{word} {limit:,} rows",
                    found=finding if broken else "",
                )
            )
    return results


def _with_examples(result: Result, examples: tuple[dict[str, str | None], ...]) -> Result:
    if not examples:
        return result
    values = list(dict.fromkeys(_cells(row, result.columns) for row in examples))[:3]
    finding = (
        f"such as {'; '.join(values)}" if result.status in ("fail", "warn") and result.rule != "nulls" else result.found
    )
    return msgspec.structs.replace(result, examples=examples, found=finding)


def _cells(row: Mapping[str, str | None], columns: Sequence[str]) -> str:
    values = [(name, "null" if row.get(name) is None else repr(row[name])) for name in columns]
    return values[0][1] if len(values) == 1 else ", ".join(f"{name} {value}" for name, value in values)


def _discreet(result: Result, personal: Collection[str]) -> Result:
    """Return the result without the parts of the contract that may hold values of personal columns."""
    if set(result.columns) & set(personal):
        if result.rule in ("range", "values", "pattern"):
            return msgspec.structs.replace(result, expected=HIDDEN)
        if result.rule == "freshness" and result.found:
            return msgspec.structs.replace(result, found="the newest value is older")
        if result.found.startswith(_FAULT):
            return msgspec.structs.replace(result, found=_FAULT)
    return result
