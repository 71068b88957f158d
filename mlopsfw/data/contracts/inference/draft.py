"""Turn a profile into rules. Each function decides how much evidence one kind of rule needs."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

from mlopsfw.data.contracts.distribution import COMPARED
from mlopsfw.data.contracts.inference.keys import find_keys
from mlopsfw.data.contracts.inference.profile import ColumnProfile, Profile
from mlopsfw.data.contracts.inference.relations import find_relations
from mlopsfw.data.contracts.inference.rounding import outward, rounded_down, rounded_up
from mlopsfw.data.contracts.inference.shapes import find_pattern
from mlopsfw.data.contracts.model import ColumnRules, Contract, Distribution, Kind, Order, TableRules
from mlopsfw.pages.values import number_text

if TYPE_CHECKING:
    import polars as pl

_ENOUGH = 100  # rows needed to write "never"
_OFTEN = 10  # occurrences of a value needed for a complete set
_CODES = 3  # integers with at most so many values are codes, else numbers
_LONGEST = 64  # longest text of a value in a set
_MANY = 1_000  # rows needed for a warning, even if chance explains the rule
_MANY_REPEATS = 10  # pairs that chance would produce
_MOVES = 20  # distinct values needed to exclude a chance order
_FRESH = dt.timedelta(days=7)


def draft(profile: Profile, *, now: dt.datetime, personal: Collection[str] = ()) -> tuple[Contract, dict[str, str]]:
    """Return the rules that a profile supports, and a note on each column."""
    public = {name: column for name, column in profile.columns.items() if name not in personal}
    columns = {
        name: _column(column, profile.sample[name], profile.rows, now) if name in public else _personal(column)
        for name, column in profile.columns.items()
    }
    single = any(rules.unique for rules in columns.values())
    still = [name for name, column in public.items() if column.kind in COMPARED and not _compared(column)]
    contract = Contract(
        table=_table(profile.rows),
        columns=columns,
        unique=() if single else tuple(find_keys(profile, public)),
        rule=tuple(find_relations(profile, public)),
        distribution=Distribution(skip=(*still, *(name for name in columns if name in personal))),
    )
    return contract, {name: _note(column, hidden=name in personal) for name, column in profile.columns.items()}


def _table(rows: int) -> TableRules:
    """Allow an order of magnitude either way: fewer rows fail; more rows and new columns warn."""
    return TableRules(
        min_rows=max(rounded_down(rows / 10), 1), max_rows=rounded_down(rows * 10), only=True, warn=("max_rows", "only")
    )


def _compared(column: ColumnProfile) -> bool:
    """Return whether a column's distribution is meaningful: not for keys, growing or constant columns."""
    if column.constant or column.order or column.kind not in ("integer", "number", "boolean", "string"):
        return False
    return column.kind == "number" or column.distinct < (0.5 if column.kind == "string" else 1) * column.present


def _note(column: ColumnProfile, *, hidden: bool) -> str:
    parts = [f"{column.missing / column.rows:.2%} missing" if column.missing else ""]
    if column.distinct and column.present:
        about = "" if column.counts or column.distinct == column.present else "about "
        parts.append("one value" if column.constant else f"{about}{column.distinct:,} values")
    if not hidden and column.least is not None and not column.constant:
        parts.append(f"{_short(column.least)} to {_short(column.greatest)}")
    return ", ".join(filter(None, parts))


def _short(value: Any) -> str:
    return number_text(value, 6) if isinstance(value, float) else str(value)


def _personal(column: ColumnProfile) -> ColumnRules:
    """Return only kind and nulls of a personal column, since the file holds none of its values."""
    return ColumnRules(**_type(column), **_nulls(column))


def _column(column: ColumnProfile, sample: pl.Series, rows: int, now: dt.datetime) -> ColumnRules:
    rules: dict[str, Any] = {**_type(column)}
    warn: list[str] = []
    domain = _domain(column, sample, rows)
    identity = _identity(column, formed="pattern" in domain)
    for part in (_nulls(column), domain, identity, _time(column, now)):
        warn += part.pop("warn", ())
        rules |= part
    return ColumnRules(**rules, warn=tuple(warn))


def _type(column: ColumnProfile) -> dict[str, Any]:
    return {"type": cast("Kind", column.kind)} if column.present and column.kind in _KINDS else {}


_KINDS = ("integer", "number", "boolean", "string", "date", "datetime", "time", "duration", "list", "struct", "binary")


def _nulls(column: ColumnProfile) -> dict[str, Any]:
    """None if enough rows have no missing value; else the observed share plus twice its sampling error."""
    share = column.missing / column.rows
    if not column.missing and column.rows >= _ENOUGH:
        return {"nulls": 0.0}
    error = 5 * math.sqrt(max(share * (1 - share), 1 / column.rows) / column.rows)
    limit = rounded_up(share + max(error, share / 2, 10 / column.rows))
    return {"nulls": limit, "warn": ("nulls",)} if limit < 0.95 else {}  # noqa: PLR2004 - says nothing


def _allow(rows: int) -> float:
    """Return the share of new rows that may lie outside: among as many rows as the reference has, a dozen beyond its ends are still chance."""
    return min(rounded_up(12 / max(rows, 1)), 0.05)


# -- which values there may be -------------------------------------------------------------------------------------------


def _domain(column: ColumnProfile, sample: pl.Series, rows: int) -> dict[str, Any]:
    if column.present < _ENOUGH:
        return {}
    if column.kind == "string":
        return _values(column, rows) or _pattern(sample, rows)
    if column.kind == "integer" and (column.constant or column.distinct <= _CODES):
        return _values(column, rows)
    if column.kind == "boolean" and column.constant:
        return _values(column, rows)
    if column.kind in ("integer", "number") and column.least is not None:
        return _range(column, rows)
    return {}


def _values(column: ColumnProfile, rows: int) -> dict[str, Any]:
    """Return the set of values if it seems complete: by Good and Turing, unseen values weigh as much as those seen once.

    A set of only frequent values fails; a single value, or a few rare ones, warn. Many rare values are no set.
    """
    counts = column.counts
    if not counts or any(isinstance(value, str) and len(value) > _LONGEST for value in counts):
        return {}
    once = sum(number == 1 for number in counts.values())
    listed = {"values": tuple(sorted(counts))}
    if len(counts) > 1 and min(counts.values()) >= _OFTEN:
        return listed
    if len(counts) == 1 or (once <= max(2, len(counts) // 10) and column.present >= 50 * len(counts)):
        return listed | {"allow": _allow(rows), "warn": ("values",)}
    return {}


def _pattern(sample: pl.Series, rows: int) -> dict[str, Any]:
    pattern = find_pattern(sample)
    return {"pattern": pattern, "allow": _allow(rows)} if pattern else {}


def _range(column: ColumnProfile, rows: int) -> dict[str, Any]:
    """Return a range wider than the values: on each side by the distance from the middle to the end; not below zero if no value is.

    Whole numbers that fill their range get exactly that range, and only warn: they may be the hours of a day, or the months so far.
    """
    number = int if column.kind == "integer" else float
    least, greatest, middle = (number(each) for each in (column.least, column.greatest, column.middle))
    dense = column.kind == "integer" and column.distinct == greatest - least + 1 and len(column.counts) > 1
    if dense and min(column.counts.values()) > 1:
        return {"range": (least, greatest), "allow": _allow(rows), "warn": ("range",)}
    low, high = least - (middle - least), greatest + (greatest - middle)
    if least >= 0:
        low = 0 if least < middle or least == 0 else max(low, 0)
    if column.kind == "number" and least >= 0 and greatest <= 1:
        high = min(high, 1)
    spread, integer = float(greatest) - float(least), column.kind == "integer"
    bounds = (outward(low, spread, down=True, integer=integer), outward(high, spread, down=False, integer=integer))
    open_low = "" if column.infinite or column.order.endswith("decreasing") else bounds[0]
    open_high = "" if column.infinite or column.order.endswith("increasing") else bounds[1]
    if open_low == open_high == "":
        return {}
    return {"range": (open_low, open_high), "allow": _allow(rows)}


# -- what identifies a row, and when -------------------------------------------------------------------------------------


def _identity(column: ColumnProfile, *, formed: bool) -> dict[str, Any]:
    """A column of unique values is a key if it holds whole numbers, or texts with a form; an order warns.

    It only warns if the values may be unique by chance: numbers far apart, few texts, or texts without a form.
    """
    rules: dict[str, Any] = {}
    warn: list[str] = []
    if column.kind in ("integer", "string") and column.distinct == column.present >= _ENOUGH:
        many, text = column.present >= _MANY, column.kind == "string"
        chance = not (formed and many) if text else _repeats(column) < _MANY_REPEATS
        if many or not chance or (text and formed):
            rules["unique"] = True
            warn += ["unique"] if chance else []
    if column.order and column.distinct >= _MOVES:
        whole = column.kind == "integer"  # two moments may coincide, even if they never did so far
        rules["order"] = cast("Order", column.order if whole else column.order.removeprefix("strictly "))
        warn.append("order")
    return rules | {"warn": warn}


def _repeats(column: ColumnProfile) -> float:
    """Return how many pairs of rows would be equal if the values were spread evenly at random."""
    return float(column.present * (column.present - 1) / 2 / (column.greatest - column.least + 1))


def _time(column: ColumnProfile, now: dt.datetime) -> dict[str, Any]:
    """Expect times up to now to stay fresh. Old data gives no evidence about freshness."""
    newest = column.greatest
    if column.kind not in ("date", "datetime") or newest is None or column.constant:
        return {}
    if not isinstance(newest, dt.datetime):
        newest = dt.datetime.combine(newest, dt.time.max)
    age = now - (newest if newest.tzinfo else newest.replace(tzinfo=dt.UTC))
    if abs(age) > _FRESH:
        return {}
    gap = (
        column.greatest - column.least
    ) / column.present  # from one value to the next; the newest is about one gap old
    days = math.ceil((2 * max(age, dt.timedelta(0)) + 10 * gap) / dt.timedelta(days=1))
    return {"freshness": f"{max(days, 2)}d", "warn": ("freshness",)}
