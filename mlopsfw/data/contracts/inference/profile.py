"""A profile of a reference's columns: counts from streamed passes over all rows, and a bounded sample for searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlopsfw.data.contracts import row_rules
from mlopsfw.data.contracts.kinds import count_missing, kind_of

if TYPE_CHECKING:
    import polars as pl

SAMPLE = 10_000
"""Rows of the sample."""

FEW = 64
"""Up to this many distinct values are counted individually."""

_ENOUGH = 100  # rows needed to exclude a chance order

_ORDERED = ("integer", "number", "date", "datetime", "time", "duration")
_COUNTED = ("integer", "string", "boolean")


@dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """One column.

    Args:
        name: The name.
        kind: Its kind, in the contract's word.
        dtype: Its Polars type.
        rows: The number of rows.
        missing: The number of rows without a value.
        distinct: The number of distinct values: exact up to `FEW` and if all may be distinct, else approximate.
        least, greatest: The bounds of the finite values; None without values, or without an order.
        middle: The median of the sample, for numbers.
        infinite: Whether there are infinities.
        order: The order of the values over all rows, or nothing.
        counts: Value → rows, if there are few values.
    """

    name: str
    kind: str
    dtype: Any
    rows: int
    missing: int
    distinct: int
    least: Any = None
    greatest: Any = None
    middle: Any = None
    infinite: bool = False
    order: str = ""
    counts: Mapping[Any, int] = field(default_factory=dict)

    @property
    def present(self) -> int:
        """How many rows have a value."""
        return self.rows - self.missing

    @property
    def constant(self) -> bool:
        """Whether all values are the same."""
        return self.distinct <= 1


@dataclass(frozen=True, kw_only=True)
class Profile:
    """All columns, and some rows."""

    rows: int
    columns: Mapping[str, ColumnProfile]
    sample: pl.DataFrame


def take_profile(rows: pl.LazyFrame, schema: Mapping[str, Any]) -> Profile:
    """Profile a reference in a few streamed passes. Only columns that may be keys need memory that grows with the rows."""
    import polars as pl

    figures = {(name, figure): each for name, dtype in schema.items() for figure, each in _figures(name, dtype).items()}
    streamed = {f"{name}\0{figure}": each for (name, figure), each in figures.items() if figure not in _ORDER}
    sequential = {f"{name}\0{figure}": each for (name, figure), each in figures.items() if figure in _ORDER}
    values = rows.select(pl.len().alias("\0rows"), **streamed).collect(engine="streaming").row(0, named=True)
    if sequential:  # beside other aggregates Polars would hold their columns in memory
        values |= rows.select(**sequential).collect(engine="streaming").row(0, named=True)
    height = int(values["\0rows"])
    facts = {name: {figure: values.get(f"{name}\0{figure}") for figure in _WHAT} | {"rows": height} for name in schema}
    sample = _sample(rows, height)
    closer = _look_closer(rows, schema, facts)
    columns = {name: _profile(name, schema[name], facts[name], closer.get(name), sample) for name in schema}
    return Profile(rows=height, columns=columns, sample=sample)


_ORDER = ("down", "up", "same")
_WHAT = ("missing", "distinct", "least", "greatest", "infinite", *_ORDER)


def _figures(name: str, dtype: Any) -> dict[str, pl.Expr]:
    import polars as pl

    kind, column = kind_of(dtype), pl.col(name)
    figures = {"missing": count_missing(column, dtype)}
    if kind in _ORDERED or kind in _COUNTED:
        figures["distinct"] = column.approx_n_unique()
    if kind in _ORDERED:
        finite = column.filter(column.is_finite()) if dtype.is_float() else column
        figures |= {"least": finite.min(), "greatest": finite.max()}
        figures |= {
            "down": row_rules.out_of_order(name, "increasing", dtype).sum(),
            "up": row_rules.out_of_order(name, "decreasing", dtype).sum(),
            "same": row_rules.out_of_order(name, "strictly increasing", dtype).sum(),
        }
    if dtype.is_float():
        figures["infinite"] = column.is_infinite().any()
    return figures


def _sample(rows: pl.LazyFrame, height: int) -> pl.DataFrame:
    """Return about `SAMPLE` rows, chosen by the hash of their number: always the same ones."""
    import polars as pl

    if height <= SAMPLE:
        return rows.collect(engine="streaming")
    chosen = pl.col("\0row").hash(11) < int(SAMPLE / height * 2**64)
    return rows.with_row_index("\0row").filter(chosen).drop("\0row").collect(engine="streaming")


def _look_closer(
    rows: pl.LazyFrame, schema: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Count the values of columns with few values, and count exactly where all values may be distinct."""
    import polars as pl

    plans = {}
    for name, dtype in schema.items():
        distinct, present = facts[name]["distinct"], facts[name]["rows"] - facts[name]["missing"]
        if distinct is None or not present:
            continue
        if kind_of(dtype) in _COUNTED and distinct <= FEW * 1.2:
            column = pl.col(name).cast(pl.String) if kind_of(dtype) == "string" else pl.col(name)
            plans[name] = column.drop_nulls().value_counts(name="\0count").implode()
        elif distinct >= present * 0.8:
            plans[name] = pl.col(name).drop_nulls().n_unique()
    if not plans:
        return {}
    return rows.select(**plans).collect(engine="streaming").row(0, named=True)


def _profile(name: str, dtype: Any, facts: Mapping[str, Any], closer: Any, sample: pl.DataFrame) -> ColumnProfile:
    counts = {row[name]: row["\0count"] for row in closer} if isinstance(closer, list) else {}
    exact = len(counts) if isinstance(closer, list) else closer if closer is not None else facts["distinct"]
    numeric = kind_of(dtype) in ("integer", "number")
    return ColumnProfile(
        name=name,
        kind=kind_of(dtype),
        dtype=dtype,
        rows=facts["rows"],
        missing=int(facts["missing"] or 0),
        distinct=int(exact or 0),
        least=facts["least"],
        greatest=facts["greatest"],
        middle=sample[name].drop_nulls().drop_nans().median() if numeric else None,
        infinite=bool(facts["infinite"]),
        order=_order(facts),
        counts=counts if len(counts) <= FEW else {},
    )


def _order(facts: Mapping[str, Any]) -> str:
    """Return the order of the values; nothing without an order, or with too few rows to tell."""
    down, up, rows = facts["down"], facts["up"], facts["rows"]
    if down is None or rows < _ENOUGH or (down and up):
        return ""
    if not down and up:
        return "increasing" if facts["same"] else "strictly increasing"
    return "decreasing" if down else ""
