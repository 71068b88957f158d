"""Which class of a model a value is. The one rule for labels at entry, in stored tables, in training rows and at evaluation.

A value is a class when it equals it *and* is of its kind: text is never a number, so that `"1"` and 1, `"01"` and `"1"` stay apart.
Numbers are compared by value: `true`, 1 and 1.0 are one number, as they are in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
else:
    np, pl = lazy("numpy"), lazy("polars")

Class = str | int | bool

_EXACT = 1 << 53  # up to here a float64 holds every whole number, so that a float names one of them
_SHOWN = 20


def find_class(value: Any, classes: Sequence[Class]) -> Class | None:
    """Return which of `classes` a value is; None where it is none of them.

    Args:
        value: Any scalar of Python, NumPy or a table. Dates, times and decimals are classes as their text, as trainers keep them.
        classes: The model's.
    """
    value = plain(value)
    if isinstance(value, float) and not abs(value) <= _EXACT:
        return None
    return next((classes[classes.index(each)] for each in (value, _text(value)) if each in classes), None)


def plain(value: Any) -> Any:
    """Return a NumPy scalar as Python's own; any other value as it is."""
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value


def _text(value: Any) -> Any:
    """Return a date, a time or a decimal as a table writes it; any other value as it is."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return str(value) if isinstance(value, date | Decimal) else value


def listed(classes: Sequence[Class]) -> str:
    """Return the classes as a message names them: text in quotes, numbers without, of many the first."""
    more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
    return ", ".join(map(repr, classes[:_SHOWN])) + more


def class_codes(labels: pl.Series, classes: Sequence[Class]) -> np.ndarray:
    """Return labels as int64 codes, in the order of `classes`.

    Raises:
        DataError: A label is null or is none of the classes.
    """
    import numpy as np
    import polars as pl

    dtype = labels.dtype
    plain = dtype.is_integer() or dtype.is_float() or dtype == pl.Boolean
    values = (labels if plain else labels.cast(pl.String)).rename(labels.name)
    distinct = values.unique().drop_nulls()
    matches = [find_class(value, classes) for value in distinct]
    found = pl.Series([-1 if match is None else classes.index(match) for match in matches], dtype=pl.Int64)
    codes = values.replace_strict(distinct, found, default=-1, return_dtype=pl.Int64)
    unknown = codes.fill_null(-1) == -1
    if unknown.any():
        row = int(unknown.arg_max() or 0)
        raise DataError(
            f"column {labels.name!r}, row {row}: {values[row]!r} is not a class of the model",
            hint=f"Its classes are {listed(classes)}.",
        )
    return codes.to_numpy().astype(np.int64)
