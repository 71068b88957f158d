"""Columns of a request as arrays, checked against the signature: what a model gets. Needs only NumPy.

Most requests have one row, so all columns of numbers become one matrix, and the arrays are its rows.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from mlopsfw.features.functions import objects
from mlopsfw.features.times import MISSING, Unreadable, read_times
from mlopsfw.kernel.base.errors import SignatureMismatch
from mlopsfw.kernel.roles.bundle import SignatureColumn

_EXPECTED: dict[str, frozenset[type]] = {
    "number": frozenset({float, int, type(None)}),
    "integer": frozenset({int, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "string": frozenset({str, type(None)}),
    "binary": frozenset({bytes, type(None)}),
}
_INTEGERS_END = 2.0**63
_UNSIGNED_END = 2**64
_SHOWN = 40


class Signature:
    """The inputs of a model, prepared for requests. Holds no state between them; many threads may use it.

    Args:
        inputs: The columns of a request.
    """

    def __init__(self, inputs: Sequence[SignatureColumn]) -> None:
        self._inputs = tuple(inputs)
        self._numbers = [column for column in inputs if column.type == "number"]
        self._strict = np.array([not column.nullable for column in self._numbers], dtype=bool)[:, None]
        self._readers = [(c.name, partial(_READERS[c.type], c)) for c in inputs if c.type != "number"]

    def arrays(self, columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return each input as an array whose first axis is the row, as `mlopsfw.roles.Model.predict` gets it.

        Args:
            columns: Input → one value a row: a list, a NumPy array, or what has `to_list` or `to_pylist`. Others are ignored.

        Raises:
            SignatureMismatch: A column is missing, or holds what it cannot; names column and row.
        """
        values = {column.name: _values(columns, column) for column in self._inputs}
        lengths = {len(each) for each in values.values()}
        if len(lengths) > 1:
            counts = ", ".join(f"{name} {len(column)}" for name, column in values.items())
            raise SignatureMismatch(f"columns differ in length: {counts}")
        arrays: dict[str, np.ndarray] = {}
        if self._numbers:
            matrix = self._matrix(values, lengths.pop())
            arrays = dict(zip([column.name for column in self._numbers], matrix, strict=True))
        for name, read in self._readers:
            arrays[name] = read(values[name])
        return arrays

    def _matrix(self, values: Mapping[str, Any], rows: int) -> np.ndarray:
        """Return all numbers as float64, `[columns, rows]`, with NaN for missing values."""
        for column in self._numbers:
            _check_types(column, values[column.name])
        try:
            matrix = np.array([values[column.name] for column in self._numbers], dtype=np.float64)
        except OverflowError:
            self._refuse_long(values)
            raise
        matrix = matrix.reshape(len(self._numbers), rows)
        magnitudes = np.abs(matrix)
        if rows and magnitudes.max() < _INTEGERS_END:  # neither NaN nor a number that is too long: almost every request
            return matrix
        wrong = np.isnan(matrix) & self._strict
        if wrong.any():
            which, row = (int(i) for i in np.argwhere(wrong)[0])
            raise _no_null(self._numbers[which], row)
        if (magnitudes >= _INTEGERS_END).any():
            self._refuse_long(values)
        return matrix

    def _refuse_long(self, values: Mapping[str, Any]) -> None:
        """Refuse integers beyond 64 bits, signed or unsigned: capture could not store them unchanged."""
        for column in self._numbers:
            for row, value in enumerate(values[column.name]):
                if isinstance(value, int) and not -_INTEGERS_END <= value < _UNSIGNED_END:
                    raise _too_long(column, row, "; write it as a float, such as 1e20")


def _values(columns: Mapping[str, Any], column: SignatureColumn) -> Any:
    try:
        values = columns[column.name]
    except KeyError:
        raise SignatureMismatch(
            f"the rows lack the column {column.name!r}, which the model needs", column=column.name
        ) from None
    if type(values) is list:
        return values
    if isinstance(values, np.ndarray):
        return values.tolist() if values.dtype.kind in "OUST" and column.type != "tensor" else values
    for name in ("to_pylist", "to_list"):
        if hasattr(values, name):
            return getattr(values, name)()
    return list(values)


# -- one column ----------------------------------------------------------------------------------------------------------


def _check_types(column: SignatureColumn, values: Any) -> None:
    """Refuse values that are not of the column's type. Whole floats and NaN pass as integers."""
    if isinstance(values, np.ndarray):
        fits = values.dtype.kind in ("b" if column.type == "boolean" else "fiu")
        if fits and (column.type != "integer" or values.dtype.kind != "f"):
            return
        values = values.tolist()
    if not set(map(type, values)) <= _EXPECTED[column.type]:
        for row, value in enumerate(values):
            if not _is_of(column.type, value):
                raise mismatch(column, row, value)


def _is_of(kind: str, value: Any) -> bool:
    if value is None or isinstance(value, bool | np.bool_):
        return value is None or kind == "boolean"
    if kind in ("boolean", "string", "binary"):
        return isinstance(value, {"boolean": bool, "string": str, "binary": bytes}[kind])
    if isinstance(value, int | np.integer):
        return True
    if not isinstance(value, float | np.floating):
        return False
    return kind == "number" or float(value).is_integer() or bool(np.isnan(value))


def _are(kind: type, values: Any) -> bool:
    """Return whether the values are a list of this type alone: almost every request, which needs no other check."""
    return type(values) is list and set(map(type, values)) == {kind}


def _integers(column: SignatureColumn, values: Any) -> np.ndarray:
    if _are(int, values):
        return _exact_integers(column, values)
    _check_types(column, values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return values if values.dtype.kind == "i" else _exact(column, values.tolist())
    listed: list[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    if {float, np.float64, np.float32} & set(map(type, listed)):
        listed = [None if value is None or value != value else int(value) for value in listed]  # noqa: PLR0124 - NaN
    return _exact(column, listed)


def _exact(column: SignatureColumn, values: list[Any]) -> np.ndarray:
    """Return integers as int64; as objects where one is missing, so that no digit is lost."""
    if None in values:
        _check_null(column, values)
        for row, value in enumerate(values):
            if value is not None and not -_INTEGERS_END <= value < _INTEGERS_END:
                raise _too_long(column, row)
        return objects(values)
    return _exact_integers(column, values)


def _exact_integers(column: SignatureColumn, values: list[int]) -> np.ndarray:
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        row = next(row for row, value in enumerate(values) if not -_INTEGERS_END <= value < _INTEGERS_END)
        raise _too_long(column, row) from None


def _booleans(column: SignatureColumn, values: Any) -> np.ndarray:
    if _are(bool, values):
        return np.array(values, dtype=bool)
    _check_types(column, values)
    if isinstance(values, np.ndarray):
        return values
    if None in values:
        _check_null(column, values)
        return objects(values)
    return np.array(values, dtype=bool)


def _strings(column: SignatureColumn, values: Any) -> np.ndarray:
    if column.type == "string" and _are(str, values):
        return objects(values)
    _check_types(column, values)
    if None in values:
        _check_null(column, values)
    return objects(values)


def _times(column: SignatureColumn, values: Any) -> np.ndarray:
    dates = column.type == "date"
    try:
        times = read_times(values, dates=dates)
    except Unreadable as error:
        raise SignatureMismatch(error.message, column=column.name, row=error.row) from None
    if not column.nullable and (times == MISSING).any():
        raise _no_null(column, int(np.argmax(times == MISSING)))
    moments = times.view("M8[us]")
    return moments.astype("M8[D]") if dates else moments


def _binary(column: SignatureColumn, values: Any) -> np.ndarray:
    """Return bytes. A request in JSON holds them as base64 (RFC 4648, section 4)."""
    read = [_decoded(column, row, value) if type(value) is str else value for row, value in enumerate(values)]
    return _strings(column, read)


def _decoded(column: SignatureColumn, row: int, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureMismatch("the text is not base64, which stands for bytes", column=column.name, row=row) from None


def _lists(column: SignatureColumn, values: Any) -> np.ndarray:
    """Return one array a row. All items are read at once."""
    items = SignatureColumn(name=column.name, type=column.items or "number")
    flat: list[Any] = []
    lengths = []
    for row, value in enumerate(values):
        if value is None and not column.nullable:
            raise _no_null(column, row)
        if value is not None and not isinstance(value, list | tuple | np.ndarray):
            raise mismatch(column, row, value)
        flat.extend([] if value is None else value)
        lengths.append(0 if value is None else len(value))
    ends = np.cumsum(lengths, dtype=np.int64)
    try:
        read = Signature((items,)).arrays({column.name: flat})[column.name]
    except SignatureMismatch as error:
        row = 0 if error.row is None else int(np.searchsorted(ends, error.row, side="right"))
        raise SignatureMismatch(f"an item of the list: {error.problem}", column=column.name, row=row) from None
    parts = np.split(read, ends[:-1]) if lengths else []
    return objects([None if value is None else part for value, part in zip(values, parts, strict=True)])


def _tensors(column: SignatureColumn, values: Any) -> np.ndarray:
    """Return one array `[rows, *shape]` of the column's dtype."""
    dtype = np.dtype(column.dtype or "float32")
    sides = len(column.shape)
    rows = [np.asarray(value) if _is_regular(value, sides) else None for value in values]
    for row, each in enumerate(rows):
        if each is None or not _has_kind(each, dtype):
            raise mismatch(column, row, values[row])
        if not _has_shape(each, column, rows[0]):
            expected = ["any" if side is None else side for side in column.shape]
            raise SignatureMismatch(
                f"its shape is {list(each.shape)}, not {expected}".replace("'", ""), column=column.name, row=row
            )
    empty = np.empty((0, *(side or 0 for side in column.shape)), dtype=dtype)
    given = np.stack([each for each in rows if each is not None]) if rows else empty
    with np.errstate(over="ignore"):
        tensor = given.astype(dtype)
    if dtype.kind == "f" and not np.array_equal(np.isinf(tensor), np.isinf(given)):
        row = int(np.argwhere(np.isinf(tensor) & ~np.isinf(given))[0][0])
        raise SignatureMismatch(f"a number does not fit {dtype}", column=column.name, row=row)
    if dtype.kind == "f" and not column.nullable and np.isnan(tensor).any():
        raise _no_null(column, int(np.argwhere(np.isnan(tensor))[0][0]))
    return tensor


def _is_regular(value: Any, sides: int) -> bool:
    """Return whether nested lists are a tensor: all lists of one depth have one length, and none lies deeper than `sides`."""
    if not isinstance(value, list | tuple):
        return value is not None
    if sides < 1:
        return False
    inner = [each for each in value if isinstance(each, list | tuple)]
    if not inner:
        return True
    return (
        len(inner) == len(value)
        and len({len(each) for each in inner}) == 1
        and all(_is_regular(each, sides - 1) for each in inner)
    )


def _has_kind(values: np.ndarray, dtype: np.dtype[Any]) -> bool:
    if not values.size:
        return True
    if values.dtype.kind == "O" or dtype.kind == "b" or values.dtype.kind == "b":
        return values.dtype.kind == dtype.kind
    if dtype.kind == "f":
        return values.dtype.kind in "fiu"
    limits = np.iinfo(dtype)
    return values.dtype.kind in "iu" and limits.min <= int(values.min()) and int(values.max()) <= limits.max


def _has_shape(value: np.ndarray, column: SignatureColumn, first: np.ndarray | None) -> bool:
    if first is None or value.shape != first.shape or value.ndim != len(column.shape):
        return False
    return all(side is None or side == actual for side, actual in zip(column.shape, value.shape, strict=True))


_READERS: dict[str, Callable[[SignatureColumn, Any], np.ndarray]] = {
    "integer": _integers, "boolean": _booleans, "string": _strings, "date": _times, "datetime": _times, "binary": _binary,
    "list": _lists, "tensor": _tensors,
}  # fmt: skip


# -- errors --------------------------------------------------------------------------------------------------------------


def _check_null(column: SignatureColumn, values: list[Any]) -> None:
    if not column.nullable:
        raise _no_null(column, values.index(None))


def _no_null(column: SignatureColumn, row: int) -> SignatureMismatch:
    problem = "the value is null or NaN, but the training data had no missing value"
    return SignatureMismatch(problem, column=column.name, row=row)


def _too_long(column: SignatureColumn, row: int, more: str = "") -> SignatureMismatch:
    return SignatureMismatch(f"the value does not fit in 64 bits{more}", column=column.name, row=row)


def mismatch(column: SignatureColumn, row: int, value: object) -> SignatureMismatch:
    """Return the error for a value that does not fit its column."""
    if value is None:
        return _no_null(column, row)
    excerpt = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}…"
    kind = {"list": f"list of {column.items}", "tensor": f"tensor of {column.dtype}"}.get(column.type, column.type)
    return SignatureMismatch(f"{excerpt} is not of type {kind}", column=column.name, row=row)
