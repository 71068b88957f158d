"""Conditions between columns: found on a sample, where chance does not explain them. The trial checks all rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise, permutations
from typing import TYPE_CHECKING

from mlopsfw.data.contracts.inference.profile import ColumnProfile, Profile
from mlopsfw.data.contracts.model import Condition, Level

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_FEWEST = 1_000  # rows of the sample with both values
_SHUFFLED = 0.01  # least share of shuffled rows that must break a condition: else it says no more than the ranges
_COLUMNS = 40  # of one kind
_TOGETHER = 20  # rows without the value, and with it; fewer may be chance


def find_relations(profile: Profile, columns: Mapping[str, ColumnProfile]) -> Iterator[Condition]:
    """Yield conditions: columns that are null together, are equal, add up, or of which one is never greater."""
    sample = profile.sample
    together = [name for name, column in columns.items() if 0 < column.missing < column.rows]
    yield from _null_together(sample, together, columns)
    numbers = [name for name, column in columns.items() if column.kind in ("integer", "number") and _varies(column)]
    sums = list(_sums(sample, numbers[:_COLUMNS]))
    yield from sums
    equal: set[str] = set()
    for kinds in (("integer", "number"), ("date",), ("datetime",), ("time",)):
        of_kind = [name for name, column in columns.items() if column.kind in kinds and _varies(column)][:_COLUMNS]
        for first, second in combinations(of_kind, 2):
            if columns[first].dtype.is_temporal() and columns[first].dtype != columns[second].dtype:
                continue
            if second not in equal and _always(sample, first, "=", second):
                equal.add(second)
                yield Condition(that=f"{sql_name(first)} = {sql_name(second)}")
        candidates = [name for name in of_kind if name not in equal]
        yield from _ordered(sample, candidates, columns)


def sql_name(name: str) -> str:
    """Return a column's name in SQL."""
    plain = name.isascii() and name.isidentifier() and name.islower() and name not in _WORDS
    return name if plain else '"' + name.replace('"', '""') + '"'


_WORDS = frozenset(
    [
        "all",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "at",
        "between",
        "by",
        "case",
        "cast",
        "column",
        "count",
        "cross",
        "current",
        "date",
        "day",
        "desc",
        "distinct",
        "else",
        "end",
        "escape",
        "except",
        "exists",
        "extract",
        "false",
        "filter",
        "first",
        "for",
        "from",
        "full",
        "group",
        "having",
        "hour",
        "if",
        "ilike",
        "in",
        "inner",
        "interval",
        "into",
        "is",
        "join",
        "last",
        "left",
        "like",
        "limit",
        "minute",
        "month",
        "natural",
        "not",
        "null",
        "nulls",
        "of",
        "offset",
        "on",
        "or",
        "order",
        "outer",
        "over",
        "partition",
        "position",
        "quarter",
        "right",
        "row",
        "rows",
        "second",
        "select",
        "set",
        "similar",
        "some",
        "substring",
        "table",
        "then",
        "time",
        "timestamp",
        "to",
        "trim",
        "true",
        "union",
        "unique",
        "unnest",
        "using",
        "values",
        "week",
        "when",
        "where",
        "window",
        "with",
        "year",
    ]
)
"""Words that SQL may reserve. Quoting any other name does no harm."""


def _varies(column: ColumnProfile) -> bool:
    return column.distinct > 2 and column.least is not None  # noqa: PLR2004 - flags are ordered by chance


def _null_together(sample: pl.DataFrame, names: list[str], columns: Mapping[str, ColumnProfile]) -> Iterator[Condition]:
    """Yield chains of columns with values missing in the same rows, each paired with the previous one."""
    groups: dict[bytes, list[str]] = {}
    for name in names:
        column = sample[name]
        absent = column.is_null()
        nan = (
            column.dtype.is_float() and column.is_nan().any()
        )  # not a number is no value either, but SQL's IS NULL does not cover it
        if min(absent.sum(), (~absent).sum()) >= _TOGETHER and not nan:
            groups.setdefault(absent.to_numpy().tobytes(), []).append(name)
    for group in groups.values():
        for first, second in pairwise(group):
            if columns[first].missing == columns[second].missing:
                yield Condition(that=f"({sql_name(first)} IS NULL) = ({sql_name(second)} IS NULL)")


def _always(sample: pl.DataFrame, first: str, sign: str, second: str) -> bool:
    """Return whether a comparison holds in all rows of the sample with both values, but not in shuffled rows."""
    import polars as pl

    a, b = pl.col(first), pl.col(second)
    holds = a == b if sign == "=" else a <= b
    mixed = b.reverse() == a if sign == "=" else a <= b.reverse()
    both = sample.select(first, second).drop_nulls()
    if both.height < _FEWEST:
        return False
    always, chance = both.select(holds.all(), mixed.mean().alias("mixed")).row(0)
    return bool(always) and chance <= 1 - _SHUFFLED


def _ordered(sample: pl.DataFrame, names: list[str], columns: Mapping[str, ColumnProfile]) -> Iterator[Condition]:
    """Yield `a <= b`, without conditions that follow from others: for a <= b <= c not a <= c."""
    pairs = set()
    for first, second in permutations(names, 2):
        overlap = columns[first].greatest > columns[second].least and columns[first].dtype == columns[second].dtype
        if overlap and _always(sample, first, "<=", second):
            pairs.add((first, second))
    for first, second in sorted(pairs, key=lambda pair: (names.index(pair[0]), names.index(pair[1]))):
        if not any((first, other) in pairs and (other, second) in pairs for other in names):
            level: Level = (
                "fail" if columns[first].dtype.is_temporal() else "warn"
            )  # numbers may measure different things
            yield Condition(that=f"{sql_name(first)} <= {sql_name(second)}", level=level)


def _sums(sample: pl.DataFrame, names: list[str]) -> Iterator[Condition]:
    """Yield `a + b = c`, searched on a few rows and then on the sample; approximate for floating-point numbers."""
    import numpy as np
    import polars as pl

    rows = sample.select(names).drop_nulls() if names else sample.clear()
    if rows.height < _FEWEST:
        return
    values = {name: rows[name].cast(pl.Float64).to_numpy() for name in names}
    few = np.linspace(0, rows.height - 1, 64).astype(np.int64)
    for first, second in combinations(names, 2):
        total = values[first][few] + values[second][few]
        for third in names:
            likely = third not in (first, second) and _near(total, values[third][few])
            if likely and _near(values[first] + values[second], values[third]):
                exact = all(sample.schema[name].is_integer() for name in (first, second, third))
                yield Condition(that=_sum_words(first, second, third, exact=exact))


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    import numpy as np

    with np.errstate(invalid="ignore"):
        return bool((np.abs(a - b) <= 1e-9 * (1 + np.abs(b))).all())


def _sum_words(first: str, second: str, third: str, *, exact: bool) -> str:
    a, b, c = map(sql_name, (first, second, third))
    return f"{a} + {b} = {c}" if exact else f"ABS({a} + {b} - {c}) <= 1e-6 * (1 + ABS({c}))"
