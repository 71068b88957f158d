"""The built-in step `join`: gives each row the values that another table had at the row's time, and nothing later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.tables.digest import computed
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.base.spans import duration
from mlopsfw.kernel.config.options import check_options
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.kernel.roles.host import Host

_AT, _ROW, _GROUP = "\1at", "\1row", "\1group"  # no user has such columns


class JoinParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.join]`.

    Args:
        at: The rows' column of times.
        other_at: The other table's column of times; by default of the same name.
        by: Columns that must be equal: their names, or the rows' name → the other table's.
        columns: The other table's columns to take; by default all but those of the join.
        prefix: A prefix for the names of the taken columns.
        known_after: How long after its time a row of the other table is known: `30m`, `1d 2h`.
        tolerance: The greatest age of a match at the row's time; empty for any.
    """

    at: str
    other_at: str = ""
    by: tuple[str, ...] | dict[str, str] = ()
    columns: tuple[str, ...] = ()
    prefix: str = ""
    known_after: str = "0s"
    tolerance: str = ""

    def __post_init__(self) -> None:
        check_options(self, known_after=duration, tolerance=duration)

    def keys(self) -> dict[str, str]:
        """Return the rows' key columns, each with the other table's."""
        return dict(self.by) if isinstance(self.by, dict) else {name: name for name in self.by}


def _run(params: JoinParams, context: StepContext) -> Mapping[str, Any]:
    import polars as pl

    rows, found, height = as_of(context.load("rows", pl.LazyFrame), context.load("other", pl.LazyFrame), params)
    share = found / height if height else 0.0
    context.log(f"{found:,} of {height:,} rows have a match ({share:.1%})")
    context.log_metric("matched", share)
    return {"rows": context.values.store_frames(rows)}


def as_of(rows: pl.LazyFrame, other: pl.LazyFrame, params: JoinParams) -> tuple[Iterator[pl.DataFrame], int, int]:
    """Join each row with the newest one of `other` that was known at its time.

    Args:
        rows: Rows in any order; the result keeps it. Memory holds only their times and keys.
        other: Rows in any order; of several rows with the same key and time the last counts. Memory holds the columns taken.
        params: The columns to join on, and the columns to take.

    Returns:
        The rows with the columns taken (null without a match), part by part; how many rows have a match; and how many rows there are. A row
        without a time, or without one of its keys, has no match.

    Raises:
        DataError: A column is missing, would appear twice, or has another type on the other side.
    """
    import polars as pl

    schema, other_at = other.collect_schema(), params.other_at or params.at
    taken = list(params.columns) or [name for name in schema if name not in (other_at, *params.keys().values())]
    _check(rows.collect_schema(), schema, params, taken)
    matches = _find_matches(rows, other, params)
    values = other.select(pl.col(name).alias(params.prefix + name) for name in taken).collect(engine="streaming")
    return _joined(rows, values, matches), len(matches) - matches.null_count(), len(matches)


def _joined(rows: pl.LazyFrame, values: pl.DataFrame, matches: pl.Series) -> Iterator[pl.DataFrame]:
    """Yield the rows with the values of their matches. Memory holds a part of the rows, and all values."""
    import polars as pl

    start = 0
    for part in computed(rows):
        yield part.hstack(values.select(pl.all().gather(matches.slice(start, part.height))))
        start += part.height


def _find_matches(rows: pl.LazyFrame, other: pl.LazyFrame, params: JoinParams) -> pl.Series:
    """Return, for each row, the number of its match in `other`, or null."""
    import polars as pl

    lag, age = duration(params.known_after), duration(params.tolerance) if params.tolerance else None
    kind, keys = rows.collect_schema()[params.at], params.keys()
    known = other.with_row_index(_ROW).select(
        _ROW,
        (_time(params.other_at or params.at, kind) + lag).alias(_AT),
        *(pl.col(theirs).alias(ours) for ours, theirs in keys.items()),
    )
    oldest = (
        None if age is None else (age - lag) // timedelta(**({"days": 1} if kind == pl.Date else {"microseconds": 1}))
    )
    timeline = Timeline(known.drop_nulls().collect(engine="streaming"), tuple(keys), oldest)
    asked = rows.select(_time(params.at, kind).alias(_AT), *keys)
    return pl.concat([timeline.find(part) for part in computed(asked)])


class Timeline:
    """Finds the newest known row of a key at a time, for a whole batch of rows at once.

    A row's number is the rank of its key times the count of times, plus the rank of its time. The known rows are sorted by it, so a bisection
    finds the newest one of a key at a time.

    Args:
        known: The known rows: times `_AT`, row numbers `_ROW` and key columns, without nulls.
        keys: The key columns.
        oldest: The greatest age of a match, in the unit of the times (µs, for dates days); None for any.
    """

    def __init__(self, known: pl.DataFrame, keys: tuple[str, ...], oldest: int | None) -> None:
        import numpy as np
        import polars as pl

        self._keys, self._oldest = keys, oldest
        self._groups = known.select(keys).unique().with_row_index(_GROUP) if keys else None
        self._times = pl.Series(_moments(known)).unique().sort().to_numpy()
        numbers = self._group(known) * (len(self._times) + 1) + np.searchsorted(self._times, _moments(known), "right")
        order = np.argsort(numbers, kind="stable")  # of equal numbers the last stays last
        self._numbers, self._rows = numbers[order], known[_ROW].to_numpy()[order]

    def find(self, rows: pl.DataFrame) -> pl.Series:
        """Return the number of each row's match, or null."""
        import numpy as np
        import polars as pl

        group, at, width = self._group(rows), _moments(rows), len(self._times) + 1
        asked = group * width + np.searchsorted(self._times, at, "right")
        order, before = np.argsort(asked), np.empty(len(asked), np.int64)  # bisection in order stays in the cache
        before[order] = np.searchsorted(self._numbers, asked[order], "right") - 1
        there = rows[_AT].is_not_null().to_numpy() & (group >= 0) & (before >= 0)
        if not there.any():
            return pl.Series(_ROW, [None], dtype=pl.UInt32).new_from_index(0, rows.height)
        found = self._numbers[before]
        there &= found // width == group
        if self._oldest is not None:
            there &= at - self._times[found % width - 1] <= self._oldest
        matches = pl.Series(_ROW, self._rows[before])
        return pl.select(pl.when(pl.lit(pl.Series(there))).then(matches)).to_series()

    def _group(self, rows: pl.DataFrame) -> np.ndarray:
        """Return the rank of each row's key, or -1 for an unknown key."""
        import numpy as np

        if self._groups is None:
            return np.zeros(rows.height, np.int64)
        found = rows.select(self._keys).join(self._groups, on=list(self._keys), how="left", maintain_order="left")
        return found[_GROUP].cast(int).fill_null(-1).to_numpy()


def _moments(rows: pl.DataFrame) -> np.ndarray:
    """Return the times as whole numbers, 0 for a missing one."""
    return rows[_AT].to_physical().cast(int).fill_null(0).to_numpy()


def _time(name: str, kind: Any) -> pl.Expr:
    """Return a column of times in the rows' zone and in one unit."""
    import polars as pl

    return pl.col(name) if kind == pl.Date else pl.col(name).cast(pl.Datetime("us", kind.time_zone))


def _check(rows: Mapping[str, Any], other: Mapping[str, Any], params: JoinParams, taken: Sequence[str]) -> None:
    keys, other_at = params.keys(), params.other_at or params.at
    for name, there, whose in (
        *((name, list(rows), "the rows") for name in (params.at, *keys)),
        *((name, list(other), "the other table") for name in (other_at, *keys.values(), *taken)),
    ):
        if name not in there:
            raise DataError(
                f"{whose} have no column {name!r}".replace("table have", "table has"), hint=nearest(name, there)
            )
    for ours, theirs in keys.items():
        if rows[ours] != other[theirs]:
            raise DataError(f"column {ours!r} is {rows[ours]}, but {theirs!r} of the other table is {other[theirs]}")
    times = rows[params.at], other[other_at]
    if not all(kind.is_temporal() for kind in times) or _zone(times[0]) != _zone(times[1]):
        raise DataError(
            f"column {params.at!r} is {times[0]}, but {other_at!r} of the other table is {times[1]}",
            hint="Both must be dates, or datetimes that both have a zone or both have none.",
        )
    clash = sorted({params.prefix + name for name in taken} & set(rows))
    if clash:
        raise DataError(
            f"the rows already have a column {clash[0]!r}", hint='Set prefix = "weather_", or name columns.'
        )


def _zone(kind: Any) -> object:
    import polars as pl

    return "date" if kind == pl.Date else getattr(kind, "time_zone", None) is not None


def build(params: JoinParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        inputs=("rows", "other"),
        each=("rows",),
        outputs=("rows",),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `join`."""
    yield Provider(
        "join",
        JoinParams,
        build,
        "Join each row with the values of another table at its time (as-of, by key, with a tolerance)",
    )
