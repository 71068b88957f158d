"""The rules of a contract, as frozen records. A broken rule fails the check; `warn` names those that only warn."""

from __future__ import annotations

from typing import Literal

import msgspec

FORMAT = 1
"""Version of the contract file. A reader refuses a later one."""

Level = Literal["fail", "warn"]
Kind = Literal[
    "integer", "number", "boolean", "string", "date", "datetime", "time", "duration", "list", "struct", "binary"
]
Order = Literal["increasing", "strictly increasing", "decreasing", "strictly decreasing"]
Bound = int | float | str
Value = bool | int | float | str

COLUMN_RULES = ("type", "nulls", "range", "values", "pattern", "unique", "order", "freshness")
"""The rules for the values of a column."""

TABLE_RULES = ("min_rows", "max_rows", "only")
"""The rules in `[table]`."""


class ColumnRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[columns.NAME]`. The column must exist, unless it is optional.

    Args:
        type: Its kind. An integer is a number too, and a column without values has every kind.
        nulls: The largest share of rows without a value, 0 to 1. NaN is no value, here and for every other rule.
        range: [least, greatest], inclusive, with `""` for an open end. Dates and times as ISO 8601.
        values: The allowed values.
        pattern: A regular expression (of Rust) that must match the whole text.
        unique: Whether each value occurs once. Rows without a value are not compared.
        order: The order of the values from row to row. Rows without a value are skipped.
        freshness: The greatest age of the newest date or time, such as `2d`. Times without a zone are UTC; a date ends with its day.
        allow: The share of rows that may break `range`, `values` or `pattern`. If it is not zero, one row always may.
        optional: Whether the column may be absent.
        warn: The rules that only warn.
    """

    type: Kind | None = None
    nulls: float | None = None
    range: tuple[Bound, Bound] | None = None
    values: tuple[Value, ...] | None = None
    pattern: str | None = None
    unique: bool = False
    order: Order | None = None
    freshness: str | None = None
    allow: float = 0.0
    optional: bool = False
    warn: tuple[str, ...] = ()

    def level(self, rule: str) -> Level:
        """Return the level of a broken rule."""
        return "warn" if rule in self.warn else "fail"


class TableRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[table]`.

    Args:
        min_rows: The fewest rows.
        max_rows: The most rows.
        only: Whether columns that the contract does not name break it.
        warn: The rules that only warn.
    """

    min_rows: int = 0
    max_rows: int | None = None
    only: bool = False
    warn: tuple[str, ...] = ()

    def level(self, rule: str) -> Level:
        """Return the level of a broken rule."""
        return "warn" if rule in self.warn else "fail"


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[unique]]`: columns that together identify a row. Rows with a missing value in one of them are not compared."""

    columns: tuple[str, ...]
    level: Level = "fail"


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[rule]]`: a condition on each row, or on the table.

    Args:
        that: An expression of Polars' SQL, such as `departed <= arrived` or `COUNT(*) > 10`. Null counts as true.
        name: Its name; by default the expression.
        allow: The share of rows that may break it. If it is not zero, one row always may.
        level: Whether breaking it fails or warns.
    """

    that: str
    name: str = ""
    allow: float = 0.0
    level: Level = "fail"


class Distribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[distribution]`: compares values with the dataset's previous version. A column has drifted if it meets both conditions.

    Args:
        columns: The columns to compare; empty for all but `skip`.
        skip: The columns not to compare.
        alpha: The level, corrected over the columns (Benjamini-Hochberg); it holds if rows are exchangeable.
        threshold: The smallest effect that counts, as a share of rows.
        level: Whether drift fails or warns.
    """

    columns: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    alpha: float = 0.05
    threshold: float = 0.1
    level: Level = "warn"


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole contract.

    Args:
        contract: The format's version.
        table: Rules of the table.
        columns: Rules by column.
        unique: Keys of more than one column.
        rule: Conditions.
        distribution: How to compare with the previous version; None for no comparison.
    """

    contract: int = FORMAT
    table: TableRules = TableRules()
    columns: dict[str, ColumnRules] = {}
    unique: tuple[Key, ...] = ()
    rule: tuple[Condition, ...] = ()
    distribution: Distribution | None = None
