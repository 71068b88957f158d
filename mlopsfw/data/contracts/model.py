"""What a contract says, as frozen records. A bare rule fails the check; `warn` names those of a table that only warn."""

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
"""What a column's table may say of its values."""

TABLE_RULES = ("min_rows", "max_rows", "only")
"""What `[table]` may say."""


class ColumnRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[columns.NAME]`. The column must be there, unless it is optional.

    Args:
        type: Its kind; an integer is a number too, and a column without any value is of every kind.
        nulls: The largest share of rows without a value, 0 to 1. NaN is no value, here and for every other rule.
        range: [least, greatest], ends included, `""` in the place of an open end. Dates and times as ISO 8601.
        values: The allowed values.
        pattern: What a text must match from its beginning to its end (Rust's regular expressions).
        unique: Whether each value comes once; rows without one are not compared.
        order: How values follow each other from row to row; rows without one are passed over.
        freshness: How old the newest date or time may be, such as `2d`. Times without a zone are UTC; a date ends with its day.
        allow: The share of rows that may break `range`, `values` or `pattern`; one row may, where it is not zero.
        optional: Whether the column may be absent.
        warn: Which of these rules only warn.
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
        """Return what breaking a rule means."""
        return "warn" if rule in self.warn else "fail"


class TableRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[table]`.

    Args:
        min_rows: The fewest rows.
        max_rows: The most rows.
        only: Whether columns that the contract does not name break it.
        warn: Which of these rules only warn.
    """

    min_rows: int = 0
    max_rows: int | None = None
    only: bool = False
    warn: tuple[str, ...] = ()

    def level(self, rule: str) -> Level:
        """Return what breaking a rule means."""
        return "warn" if rule in self.warn else "fail"


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[unique]]`: columns that together identify a row; rows that lack one of them are not compared."""

    columns: tuple[str, ...]
    level: Level = "fail"


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[rule]]`: what must hold of each row, or of the table.

    Args:
        that: An expression of Polars' SQL, such as `departed <= arrived` or `COUNT(*) > 10`. Where it is null, it holds.
        name: What to call it; the expression, where empty.
        allow: The share of rows that may break it; one row may, where it is not zero.
        level: What breaking it means.
    """

    that: str
    name: str = ""
    allow: float = 0.0
    level: Level = "fail"


class Distribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[distribution]`: whether values are distributed as in the dataset's previous version. A column has drifted where both hold.

    Args:
        columns: Which columns are compared; empty for all but `skip`.
        skip: Which are not.
        alpha: The level, corrected over the columns (Benjamini-Hochberg); it holds where rows are exchangeable.
        threshold: The least effect that counts, as a share of rows.
        level: What drift means.
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
        distribution: How the previous version counts; None where it does not.
    """

    contract: int = FORMAT
    table: TableRules = TableRules()
    columns: dict[str, ColumnRules] = {}
    unique: tuple[Key, ...] = ()
    rule: tuple[Condition, ...] = ()
    distribution: Distribution | None = None
