"""The built-in step `validate`: rows are let through as they are, or the step fails and names everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.errors import DataError
from mlopsfw.pipeline.step import BuiltinStep, StepContext
from mlopsfw.moments import moment

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["number", "integer", "boolean", "string", "date", "datetime"]
Bound = float | str | None


class ValidateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.validate]`.

    Args:
        columns: Column → kind, or a list of columns; each must be there, and of its kind. An integer is a number too.
        only: Whether further columns are an error.
        nulls: Column → the largest share of nulls allowed, 0 to 1; `"*"` for the columns not named.
        ranges: Column → [least, greatest] allowed value, ends included; `""` in the place of an open end. Dates as ISO 8601.
        values: Column → the allowed values.
        unique: Columns that together identify a row.
        min_rows: The fewest rows.
        max_rows: The most rows.
    """

    columns: dict[str, Kind] | tuple[str, ...] = {}
    only: bool = False
    nulls: dict[str, float] = {}
    ranges: dict[str, tuple[Bound, Bound]] = {}
    values: dict[str, tuple[str | int | float | bool, ...]] = {}
    unique: tuple[str, ...] = ()
    min_rows: int = 0
    max_rows: int | None = None

    def kinds(self) -> dict[str, Kind | None]:
        """Return the columns that must be there, each with its kind, or None where any will do."""
        return dict(self.columns) if isinstance(self.columns, dict) else dict.fromkeys(self.columns)


def _run(context: StepContext, params: ValidateParams) -> Mapping[str, Any]:
    import polars as pl

    rows = context.load("rows", pl.LazyFrame)
    violations, counted = examine(rows, params)
    if violations:
        listed = "".join(f"\n  - {violation}" for violation in violations)
        raise DataError(f"{len(violations)} of the checks of step {context.step} failed:{listed}")
    context.log(f"{counted:,} rows pass")
    return {"rows": context.inputs["rows"], "report": {"rows": counted, "violations": []}}


def examine(rows: pl.LazyFrame, params: ValidateParams) -> tuple[list[str], int]:
    """Return every violation, in words, and the number of rows. One streamed pass; nothing but aggregates is kept."""
    import polars as pl

    schema = dict(rows.collect_schema())
    violations = list(_check_columns(schema, params))
    wanted = {"rows": pl.len(), **dict(_aggregates(schema, params))}
    found = rows.select(**wanted).collect(engine="streaming").row(0, named=True)
    violations += _check_rows(found["rows"], params)
    violations += _check_aggregates(found, params)
    if params.unique and all(name in schema for name in params.unique):
        violations += _check_unique(rows, params.unique)
    return violations, int(found["rows"])


def _check_columns(schema: Mapping[str, Any], params: ValidateParams) -> Iterator[str]:
    for name, kind in params.kinds().items():
        if name not in schema:
            yield f"column {name!r} is missing"
        elif kind is not None and not _is_kind(schema[name], kind):
            yield f"column {name!r} is {schema[name]}, not {kind}"
    named = {*params.nulls, *params.ranges, *params.values, *params.unique} - {"*"} - set(params.columns)
    for name in sorted(named - set(schema)):
        yield f"column {name!r} is missing"
    if params.only:
        for name in sorted(set(schema) - set(params.columns)):
            yield f"column {name!r} is not expected"


def _is_kind(kind: Any, wanted: Kind) -> bool:
    import polars as pl

    match wanted:
        case "number":
            return bool(kind.is_numeric())
        case "integer":
            return bool(kind.is_integer())
        case "boolean":
            return bool(kind == pl.Boolean)
        case "string":
            return kind in (pl.String, pl.Categorical, pl.Enum)
        case "date":
            return bool(kind == pl.Date)
        case "datetime":
            return bool(kind == pl.Datetime)


def _aggregates(schema: Mapping[str, Any], params: ValidateParams) -> Iterator[tuple[str, pl.Expr]]:
    """Yield a name and an expression for each figure that a check needs. NaN is a number that fits no range."""
    import polars as pl

    for name, _ in _null_limits(schema, params):
        yield f"nulls {name}", pl.col(name).null_count()
    for name, bounds in params.ranges.items():
        if name in schema:
            yield f"outside {name}", _outside(pl.col(name), bounds, schema[name]).sum()
            yield f"least {name}", pl.col(name).min()
            yield f"greatest {name}", pl.col(name).max()
    for name, allowed in params.values.items():
        if name in schema:
            strange = pl.col(name).is_in(list(allowed)).not_() & pl.col(name).is_not_null()
            yield f"strange {name}", strange.sum()
            yield f"example {name}", pl.col(name).filter(strange).first()


def _null_limits(schema: Mapping[str, Any], params: ValidateParams) -> Iterator[tuple[str, float]]:
    others = params.nulls.get("*")
    for name in schema:
        limit = params.nulls.get(name, others)
        if limit is not None:
            yield name, limit


def _outside(column: pl.Expr, bounds: tuple[Bound, Bound], kind: Any) -> pl.Expr:
    import polars as pl

    least, greatest = (None if bound in ("", None) else _literal(bound, kind) for bound in bounds)
    outside = pl.lit(value=False)
    if least is not None:
        outside |= column < least
    if greatest is not None:
        outside |= column > greatest
    if kind.is_float():
        outside |= column.is_nan()
    return outside.fill_null(value=False)


def _literal(bound: Bound, kind: Any) -> pl.Expr:
    import polars as pl

    if isinstance(bound, str) and kind.is_temporal():
        return moment(bound, kind)
    return pl.lit(bound)


def _check_rows(count: int, params: ValidateParams) -> Iterator[str]:
    if count < params.min_rows:
        yield f"{count:,} rows, fewer than {params.min_rows:,}"
    if params.max_rows is not None and count > params.max_rows:
        yield f"{count:,} rows, more than {params.max_rows:,}"


def _check_aggregates(found: Mapping[str, Any], params: ValidateParams) -> Iterator[str]:
    rows = max(found["rows"], 1)
    for key, value in found.items():
        what, _, name = key.partition(" ")
        if what == "nulls":
            limit = params.nulls.get(name, params.nulls.get("*", 1.0))
            if value / rows > limit:
                yield f"column {name!r}: {value / rows:.2%} nulls ({value:,} rows), more than {limit:.2%}"
        elif what == "outside" and value:
            least, greatest = params.ranges[name]
            seen = f"{found[f'least {name}']} to {found[f'greatest {name}']}"
            yield f"column {name!r}: {value:,} values outside [{least}, {greatest}]; seen {seen}"
        elif what == "strange" and value:
            yield f"column {name!r}: {value:,} values that are not allowed, such as {found[f'example {name}']!r}"


def _check_unique(rows: pl.LazyFrame, columns: tuple[str, ...]) -> Iterator[str]:
    import polars as pl

    repeated = rows.group_by(columns).len().filter(pl.col("len") > 1)
    count, example = repeated.select(pl.len()), repeated.head(1)
    found, first = pl.collect_all([count, example], engine="streaming")
    if found.item():
        values = {name: first[name][0] for name in columns}
        yield f"{found.item():,} keys are not unique, such as {values} ({first['len'][0]} rows)"


STEP = BuiltinStep(
    name="validate",
    run=_run,
    params=ValidateParams,
    inputs=("rows",),
    outputs=("rows", "report"),
    summary="Check columns, types, nulls, ranges, values, keys and row counts; let the rows through or fail",
)
