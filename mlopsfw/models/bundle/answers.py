"""Check what a model answers against the outputs of its manifest: names, rows, types, bounds and missing values. Needs only NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlopsfw.kernel.base.errors import AnswerMismatch
from mlopsfw.kernel.roles.bundle import OutputColumn

_CLOSE = 1e-3  # of a total: float16 has three digits
_ROUNDING = 1e-4  # of the distance of two bounds: 1,000 trees add up float32 probabilities to 1.00001
_KINDS = {"number": "fiu", "integer": "iu", "boolean": "b", "date": "M", "datetime": "M"}
_OBJECTS: dict[str, type | tuple[type, ...]] = {"string": str, "binary": bytes, "list": (list, tuple, np.ndarray)}
_SHOWN = 20


class Answers:
    """The outputs of a model, prepared for checks. Holds no state between them; many threads may use it.

    Args:
        outputs: The outputs of the manifest.
        model: What errors call the model.
    """

    def __init__(self, outputs: Sequence[OutputColumn], model: str) -> None:
        self._outputs, self._model = tuple(outputs), model
        self._names = {column.name for column in outputs}
        self._limits = {column.name: _limits(column) for column in outputs if column.type == "number"}

    def checked(self, answer: Any, rows: int) -> dict[str, np.ndarray]:
        """Return each output as an array whose first axis is the row, in the order of the manifest.

        Args:
            answer: What the model returned.
            rows: How many rows it was asked about.

        Raises:
            AnswerMismatch: It is not what the manifest declares; names output and row.
        """
        if not isinstance(answer, Mapping) or answer.keys() != self._names:
            raise AnswerMismatch(self._model, "", self._wrong_names(answer))
        return {column.name: self._column(column, answer[column.name], rows) for column in self._outputs}

    def explained(self, shares: Any, names: Sequence[str], rows: int) -> dict[str, np.ndarray]:
        """Return what each input contributes, as float64 whose first axis is the row.

        Args:
            shares: What the model returned.
            names: The inputs, and an empty name.
            rows: How many rows it was asked about.

        Raises:
            AnswerMismatch: An input is missing, or the contributions are not finite numbers of these rows.
        """
        if not isinstance(shares, Mapping) or not set(shares) <= set(names) or "" not in shares:
            raise AnswerMismatch(self._model, "", "its explanation is not a mapping from inputs to their contributions")
        base = np.asarray(shares[""], dtype=np.float64)
        values = {name: np.asarray(shares.get(name, np.zeros_like(base)), dtype=np.float64) for name in names}
        for name, each in values.items():
            if each.shape != base.shape or each.shape[:1] != (rows,) or not np.isfinite(each).all():
                raise AnswerMismatch(self._model, name, "its contributions are not finite numbers, one for each row")
        return values

    def _wrong_names(self, answer: Any) -> str:
        if not isinstance(answer, Mapping):
            return f"it is a {type(answer).__name__}, not a mapping from each output to its values"
        expected, actual = (", ".join(map(repr, names)) or "no output" for names in (self._names, answer))
        return f"it holds {actual}, not {expected}"

    def _column(self, column: OutputColumn, values: Any, rows: int) -> np.ndarray:
        if self._surely_holds(column, values, rows):
            return values  # type: ignore[no-any-return]
        try:
            array = _rounded(column, _array(column, values))
            problem = _shape(column, array, rows) or _type(column, array) or _values(column, array)
        except (TypeError, ValueError) as error:
            problem = f"it cannot be read as an array: {error}"
        if problem:
            raise AnswerMismatch(self._model, column.name, problem)
        return array

    def _surely_holds(self, column: OutputColumn, values: Any, rows: int) -> bool:
        """Return whether the values are finite floats within the bounds: almost every answer of almost every model.

        The smallest and the largest value tell, and both are NaN where a value is.
        """
        if column.name not in self._limits or type(values) is not np.ndarray or not rows:
            return False
        if values.shape != (rows,) or values.dtype.kind != "f":
            return False
        low, high = self._limits[column.name]
        if rows == 1:
            return bool(low <= values.item() <= high)
        return bool(low <= values.min().item() and values.max().item() <= high)


def _limits(column: OutputColumn) -> tuple[float, float]:
    """Return the smallest and the largest finite value that an output may have."""
    most = float(np.finfo(np.float64).max)
    return (-most if column.minimum is None else column.minimum, most if column.maximum is None else column.maximum)


def _array(column: OutputColumn, values: Any) -> np.ndarray:
    """Return values as NumPy's; those of Arrow without a copy where it can."""
    if column.type == "list":
        listed = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
        array = np.empty(len(listed), dtype=object)
        array[:] = listed
        return array
    if isinstance(values, np.ndarray):
        return values
    if column.type == "tensor" and hasattr(values, "to_pylist"):  # Arrow's nested lists
        return np.array(values.to_pylist(), dtype=column.dtype)
    return np.asarray(values)


def _rounded(column: OutputColumn, array: np.ndarray) -> np.ndarray:
    """Return values that rounding alone took beyond one of two bounds as that bound."""
    low, high = column.minimum, column.maximum
    if low is None or high is None or array.dtype.kind != "f" or not array.size:
        return array
    if low <= array.min() and array.max() <= high:
        return array
    within = np.clip(array, low, high)
    return np.where(np.abs(within - array) <= _ROUNDING * (high - low), within, array)


def _shape(column: OutputColumn, array: np.ndarray, rows: int) -> str:
    sides = column.shape if column.type == "tensor" else ()
    fits = array.ndim == 1 + len(sides) and all(
        side is None or side == actual for side, actual in zip(sides, array.shape[1:], strict=True)
    )
    if not fits:
        expected = ", ".join("any" if side is None else str(side) for side in (rows, *sides))
        return f"its shape is {list(array.shape)}, not [{expected}]"
    return "" if len(array) == rows else f"it has {len(array)} values for {rows} rows"


def _type(column: OutputColumn, array: np.ndarray) -> str:
    """Say what is wrong with the type of the values; nothing if it is the declared one."""
    expected = _OBJECTS.get(column.type)
    if expected is not None:
        return "" if array.dtype.kind == "U" and column.type == "string" else _objects(column, array, expected)
    kinds = _tensor_kinds(column) if column.type == "tensor" else _KINDS[column.type]
    return "" if array.dtype.kind in kinds else f"its values are {array.dtype}, not {column.dtype or column.type}"


def _tensor_kinds(column: OutputColumn) -> str:
    return {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[np.dtype(column.dtype or "float32").kind]


def _objects(column: OutputColumn, array: np.ndarray, expected: type | tuple[type, ...]) -> str:
    for row, value in enumerate(array.tolist()):
        if not (isinstance(value, expected) or (value is None and column.nullable)):
            return f"row {row}: {_excerpt(value)} is not of type {column.type}"
    return ""


def _values(column: OutputColumn, array: np.ndarray) -> str:
    """Say which value breaks the column's bounds, or is not finite; nothing if none does."""
    if array.dtype.kind == "M":
        return _worst(np.isnat(array), array, "it is missing") if not column.nullable else ""
    if array.dtype.kind not in "fiu" or not array.size:
        return ""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        wrong = np.isinf(array) if column.nullable else ~np.isfinite(array)
        if wrong.any():
            return _worst(wrong, array, "is not finite")
    if column.minimum is not None and (array < column.minimum).any():
        return _worst(array < column.minimum, array, f"is below {column.minimum:g}")
    if column.maximum is not None and (array > column.maximum).any():
        return _worst(array > column.maximum, array, f"is above {column.maximum:g}")
    return _total(column, array)


def _total(column: OutputColumn, array: np.ndarray) -> str:
    if column.total is None or array.ndim == 1:
        return ""
    totals = array.sum(axis=-1, dtype=np.float64)
    wrong = np.abs(totals - column.total) > _CLOSE
    return _worst(wrong, totals, f"is the sum of the row, not {column.total:g}") if wrong.any() else ""


def _worst(wrong: np.ndarray, array: np.ndarray, problem: str) -> str:
    if not wrong.any():
        return ""
    at = tuple(np.argwhere(wrong)[0])
    return f"row {at[0]}: {_excerpt(array[at])} {problem}"


def _excerpt(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float | np.floating) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# -- as plain values -----------------------------------------------------------------------------------------------------


def as_lists(outputs: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """Return checked outputs as lists that JSON can hold: times as RFC 3339 texts, bytes as they are."""
    return {name: _PLAIN.get(values.dtype.kind, np.ndarray.tolist)(values) for name, values in outputs.items()}


def _times(values: np.ndarray) -> list[Any]:
    texts = np.datetime_as_string(values).tolist()
    zone = "" if values.dtype == "M8[D]" else "Z"
    return [None if text == "NaT" else f"{text}{zone}" for text in texts]


def _plain_objects(values: np.ndarray) -> list[Any]:
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in values.tolist()]


_PLAIN: dict[str, Callable[[np.ndarray], list[Any]]] = {"M": _times, "O": _plain_objects}
