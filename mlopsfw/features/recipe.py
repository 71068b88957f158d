"""From the options of `[steps.train]` to derived columns: parse their texts with the types of the training rows, and turn tables into lookups."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

from mlopsfw.features.expressions import KINDS, joined, kind_of, parse
from mlopsfw.features.tables import column_type
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.derived import Call, Derived, DerivedType, Expression, Find

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.features.expressions import Tables

_MOST_KEYS = 100_000
_TYPES: dict[str, DerivedType] = {"number": "number", "boolean": "number", "string": "string"}


def derived_columns(texts: Mapping[str, str], schema: Mapping[str, pl.DataType], tables: Tables) -> tuple[Derived, ...]:
    """Return the columns that `texts` (name → expression) define, in their order. Each may use the columns before it.

    Args:
        texts: What `derive` says.
        schema: The training rows' columns.
        tables: The tables that may be asked; see `lookup_table`.

    Raises:
        UsageError: An expression cannot be read, or does not fit the columns; or a column is there already.
    """
    types = {name: column_type(kind) for name, kind in schema.items()}
    kinds = {name: KINDS[kind] for name, kind in types.items() if kind is not None}
    columns: list[Derived] = []
    for name, text in texts.items():
        if name in schema or name in kinds:
            raise UsageError(
                f"derive: the rows already have a column {name!r}",
                hint="The model can use only one of the two. Rename one, or drop it in an earlier step.",
            )
        try:
            expression, kinds[name] = _typed(parse(text, tables), kinds)
        except UsageError as error:
            raise UsageError(f"derive: {name}: {error.message}", hint=error.hint) from None
        columns.append(Derived(name=name, type=_TYPES[kinds[name]], expression=expression))
    return tuple(columns)


def _typed(expression: Expression, kinds: Mapping[str, str]) -> tuple[Expression, str]:
    expression = joined(expression, kinds)
    kind = kind_of(expression, kinds)
    if kind not in _TYPES:
        raise UsageError("the result is a time", hint="Use a part of the time, such as .dt.hour() or .dt.weekday().")
    return expression, kind


class LookupTable:
    """A table that a model carries: values by key, column by column.

    Args:
        name: The name.
        rows: Its rows.
        key: The column that names a row.
        personal: Columns of which no value may be kept.

    Raises:
        DataError: The key is no column, is of another type than text or integer, or comes twice; or there are too many rows.
    """

    def __init__(self, name: str, rows: pl.DataFrame, key: str, personal: Container[str] = ()) -> None:
        if key not in rows.columns:
            raise DataError(f"lookup: the table {name!r} has no column {key!r}", hint=nearest(key, rows.columns))
        self.name, self.rows, self.key, self._personal = name, rows.drop_nulls(key), key, personal
        self._refuse_personal(key)
        if column_type(self.rows.schema[key]) not in ("string", "integer"):
            raise DataError(f"lookup: {name}.{key} holds {rows.schema[key]}; a key must be text or an integer")
        duplicates = self.rows.filter(self.rows[key].is_duplicated())
        if duplicates.height:
            raise DataError(
                f"lookup: {duplicates.height:,} values of {name}.{key} occur more than once",
                hint="Keep one row for each key in an earlier step.",
            )
        if self.rows.height > _MOST_KEYS:
            raise DataError(
                f"lookup: the table {name!r} has {self.rows.height:,} rows; a model can carry at most {_MOST_KEYS:,}",
                hint="Join it in an earlier step; each request must then carry its columns.",
            )

    def _refuse_personal(self, column: str) -> None:
        if column in self._personal:
            raise UsageError(
                f"lookup: {self.name}.{column} is marked as personal, and a lookup would make it part of the model",
                hint="Join it in an earlier step, from which it can be erased.",
            )

    def find(self, column: str, key: Expression) -> Find:
        """Return the lookup of `key` in `column` of the table. Raise `UsageError` if it has no such column of numbers or texts."""
        import polars as pl

        if column not in self.rows.columns:
            raise UsageError(
                f"the table {self.name!r} has no column {column!r}", hint=nearest(column, self.rows.columns)
            )
        self._refuse_personal(column)
        values, keys = self.rows[column], self.rows[self.key]
        kind = column_type(values.dtype)
        if kind not in ("number", "integer", "boolean", "string"):
            raise UsageError(f"{self.name}.{column} holds {values.dtype}, not numbers or texts")
        if kind != "string":
            values = values.cast(pl.Float64)
            values = values.set(~values.is_finite().fill_null(value=True), None)
        if keys.dtype.is_integer():
            key = Call(function="text", arguments=(key,))
        return Find(
            table=self.name,
            column=column,
            keys=tuple(keys.cast(pl.String).to_list()),
            values=tuple(values.to_list()),
            key=key,
        )
