"""Compute derived columns: one executor for rows of requests and of tables, so that their results cannot differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlopsfw.features.functions import FUNCTIONS, finite, in_zone, objects
from mlopsfw.kernel.roles.derived import Call, Column, Constant, Derived, Expression, Find

if TYPE_CHECKING:
    import polars as pl

Run = Callable[[Mapping[str, np.ndarray]], np.ndarray]


class Derivation:
    """Derived columns, prepared to run. Holds no state between runs; many threads may use it.

    Args:
        derived: The columns, each after those that it reads.
    """

    def __init__(self, derived: Iterable[Derived]) -> None:
        self._runs = [(each.name, compiled(each.expression)) for each in derived]

    def run(self, columns: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
        """Return the derived columns, `[rows]` each: numbers as float64, texts as objects.

        Args:
            columns: The columns that are read, as `mlopsfw.features.functions` says.
            rows: How many rows there are.
        """
        inputs = {name: finite(values) if values.dtype.kind == "f" else values for name, values in columns.items()}
        derived: dict[str, np.ndarray] = {}
        with np.errstate(all="ignore"):
            for name, run in self._runs:
                inputs[name] = values = run(inputs)
                derived[name] = values if len(values) == rows else np.broadcast_to(values, (rows,))
        return derived


def compiled(expression: Expression) -> Run:
    """Return a function from columns to the expression's values. Their first axis is the row, or has length one for a constant."""
    match expression:
        case Column(name=name):
            return lambda columns: columns[name]
        case Constant(value=value):
            constant = objects([value]) if isinstance(value, str) else np.array([float(value)])
            return lambda _: constant
        case Find():
            return _find(expression)
    return _call(expression)


def _call(call: Call) -> Run:
    parts = [compiled(each) for each in call.arguments]
    match call.arguments:
        case [_, Constant(value=str() as zone)] if call.function == "in_zone":
            return lambda columns: in_zone(parts[0](columns), zone)
    run = FUNCTIONS[call.function].run
    return lambda columns: run(*(part(columns) for part in parts))


def _find(find: Find) -> Run:
    get = dict(zip(find.keys, find.values, strict=True)).get
    key, texts = compiled(find.key), any(isinstance(value, str) for value in find.values)

    def found(columns: Mapping[str, np.ndarray]) -> np.ndarray:
        values = [get(each) for each in key(columns).tolist()]
        return objects(values) if texts else np.array(values, dtype=np.float64)

    return found


def table_columns(frame: pl.DataFrame, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return columns of a table in the form that derived columns read."""
    return {name: _array(frame[name]) for name in names}


def _array(series: pl.Series) -> np.ndarray:
    import polars as pl

    from mlopsfw.features.tables import times

    if series.dtype.is_temporal():
        return times(series)
    if series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null):
        return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return objects(series.cast(pl.String).to_list())


def with_derived(frame: pl.DataFrame, derived: tuple[Derived, ...], reads: Iterable[str]) -> pl.DataFrame:
    """Return the table with the derived columns beside its own."""
    import polars as pl

    derived_values = Derivation(derived).run(table_columns(frame, reads), frame.height)
    kinds = {each.name: pl.Float64 if each.type == "number" else pl.String for each in derived}
    columns = {
        name: values if kinds[name] == pl.Float64 else pl.Series(values.tolist(), dtype=pl.String)
        for name, values in derived_values.items()
    }
    return frame.with_columns(pl.Series(name, values, dtype=kinds[name]) for name, values in columns.items())
