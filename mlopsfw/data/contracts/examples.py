"""Example rows that break a rule, as text, without the values of personal columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from mlopsfw.data.contracts import row_rules
from mlopsfw.data.contracts.results import HIDDEN

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.contracts.checks import Check

_COLUMNS = 12  # besides those of the rule
_LETTERS = 120  # of a value
_ROW, _BROKEN = "\0row", "\0broken"

Example = dict[str, str | None]


def rows_that_break(
    rows: pl.LazyFrame, broken: Mapping[int, Check], schema: Mapping[str, Any], personal: Collection[str], most: int
) -> dict[int, tuple[Example, ...]]:
    """Return up to `most` rows that break each check, with their number from 0, the rule's columns first.

    It first searches for the numbers of the rows, reading only the rules' columns, and then reads these rows. Each key needs a pass of its own.

    Args:
        rows: The rows.
        broken: The broken checks of single rows, by number.
        schema: The columns of the rows.
        personal: Columns whose values the report must not show.
        most: How many rows.
    """
    import polars as pl

    examples: dict[int, tuple[Example, ...]] = {}
    try:
        numbers = _numbers(rows, {index: check for index, check in broken.items() if check.failing is not None}, most)
        fetched = _fetch(rows, {number for of in numbers.values() for number in of})
        for index, check in broken.items():
            if check.rule == "unique":
                listed = _of_key(rows, check, schema, most).collect(engine="streaming").to_dicts()
            else:
                listed = [_ordered(fetched[number], check, schema) for number in numbers.get(index, ())]
            examples[index] = tuple(_as_text(row, personal) for row in listed)
    except pl.exceptions.PolarsError:  # an expression fails on some other row; the result stands without examples
        return examples
    return examples


def _numbers(rows: pl.LazyFrame, broken: Mapping[int, Check], most: int) -> dict[int, list[int]]:
    """Return, for each check, the numbers of the first rows that break it."""
    import polars as pl

    numbered = rows.with_row_index(_ROW)
    plans = [
        numbered.with_columns(check.failing.alias(_BROKEN)).filter(pl.col(_BROKEN)).select(_ROW).head(most)
        for check in broken.values()
        if check.failing is not None
    ]
    frames = pl.collect_all(plans, engine="streaming")  # each stops as soon as it has its rows
    return {index: frame[_ROW].to_list() for index, frame in zip(broken, frames, strict=True)}


def _fetch(rows: pl.LazyFrame, numbers: Collection[int]) -> dict[int, dict[str, Any]]:
    import polars as pl

    if not numbers:
        return {}
    first, last = min(numbers), max(numbers)
    window = rows.slice(first, last - first + 1).with_row_index(
        _ROW, offset=first
    )  # Parquet skips the rows before and after
    frame = window.filter(pl.col(_ROW).is_in(sorted(numbers))).collect(engine="streaming")
    return {row[_ROW]: row for row in frame.to_dicts()}


def _ordered(row: Mapping[str, Any], check: Check, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's number, the rule's columns, then some of the others."""
    others = [name for name in schema if name not in check.columns][:_COLUMNS]
    number = "row" if "row" not in schema else "row number"
    return {number: row[_ROW]} | {name: row[name] for name in (*check.columns, *others)}


def _as_text(row: Mapping[str, Any], personal: Collection[str]) -> Example:
    return {name: _text(value, name in personal) for name, value in row.items()}


def _of_key(rows: pl.LazyFrame, check: Check, schema: Mapping[str, Any], most: int) -> pl.LazyFrame:
    """Return the most frequent values."""
    import polars as pl

    times = "times" if "times" not in check.columns else "how often"
    present = rows.filter(row_rules.complete(check.columns, schema))
    counted = present.group_by(check.columns).agg(pl.len().alias(times)).filter(pl.col(times) > 1)
    return counted.sort(pl.col(times).cast(pl.Int64).neg(), *check.columns).head(most)


def _text(value: Any, hidden: bool) -> str | None:  # noqa: FBT001 - one value, one question
    if value is None or hidden:
        return None if value is None else HIDDEN
    text = str(value)
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"
