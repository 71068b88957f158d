"""A few of the rows that break a rule, as text; values of personal columns are never read out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from mlopsfw.datacontract import rowrules
from mlopsfw.datacontract.results import HIDDEN

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.datacontract.checks import Check

_COLUMNS = 12  # besides those of the rule
_LETTERS = 120  # of a value

Example = dict[str, str | None]


def rows_that_break(
    rows: pl.LazyFrame, check: Check, schema: Mapping[str, Any], personal: Collection[str], most: int
) -> tuple[Example, ...]:
    """Return up to `most` rows that break a check, the rule's columns first, each with its number from 0."""
    import polars as pl

    found = _of_key(rows, check, schema, most) if check.rule == "unique" else _of_rows(rows, check, schema, most)
    if found is None:
        return ()
    try:
        frame = found.collect(engine="streaming")
    except pl.exceptions.PolarsError:
        return ()
    hidden = set(personal)
    return tuple({name: _text(value, name in hidden) for name, value in row.items()} for row in frame.to_dicts())


def _of_rows(rows: pl.LazyFrame, check: Check, schema: Mapping[str, Any], most: int) -> pl.LazyFrame | None:
    import polars as pl

    if check.failing is None:
        return None
    others = [name for name in schema if name not in check.columns][:_COLUMNS]
    number = "row" if "row" not in schema else "row number"
    named = [number, *check.columns, *others]
    broken = check.failing if check.height is None else check.failing & (check.failing.len() > 1)
    return (
        rows.with_row_index(number)
        .with_columns(broken.alias("\0broken"))
        .filter(pl.col("\0broken"))
        .head(most)
        .select(named)
    )


def _of_key(rows: pl.LazyFrame, check: Check, schema: Mapping[str, Any], most: int) -> pl.LazyFrame:
    """Return the values that come most often."""
    import polars as pl

    times = "times" if "times" not in check.columns else "how often"
    present = rows.filter(rowrules.complete(check.columns, schema))
    counted = present.group_by(check.columns).agg(pl.len().alias(times)).filter(pl.col(times) > 1)
    return counted.sort(pl.col(times).cast(pl.Int64).neg(), *check.columns).head(most)


def _text(value: Any, hidden: bool) -> str | None:  # noqa: FBT001 - one value, one question
    if value is None or hidden:
        return None if value is None else HIDDEN
    text = str(value)
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"
