"""The executor for requests: takes columns of values, checks them against the signature, and returns feature arrays. Needs only NumPy.

Most requests have one row, so all their numbers become one matrix, and each kind of operation is one expression over it.

"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopsfw.features.derive import Derivation
from mlopsfw.features.functions import objects
from mlopsfw.features.plan import CATEGORICAL, NUMERIC, Cycle, Hash, Lookup, Missing, Operation, Ramp, Scale, width
from mlopsfw.features.times import MISSING, Unreadable, cycle, read_times
from mlopsfw.kernel.base.errors import SignatureMismatch
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw_core import hash_indices

if TYPE_CHECKING:
    from mlopsfw.features.plan import FeaturePlan

_EXPECTED = {
    "number": frozenset({float, int, type(None)}),
    "integer": frozenset({int, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "string": frozenset({str, type(None)}),
}
_INTEGERS_END = 2.0**63
_UNSIGNED_END = 2**64


class RequestPlan:
    """A plan, prepared for requests. Holds no state between them; many threads may use it.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: FeaturePlan) -> None:
        derived = tuple(SignatureColumn(name=each.name, type=each.type, nullable=True) for each in plan.derived)
        self._inputs = (*plan.inputs, *derived)
        self._numbers = [c for c in self._inputs if c.type in ("number", "integer", "boolean")]
        self._others = [c for c in self._inputs if c.type not in ("number", "integer", "boolean")]
        self._raw, self._reads = plan.inputs, [c for c in plan.inputs if c.name in plan.reads]
        self._derivation = Derivation(plan.derived) if derived else None
        self._row = {column.name: row for row, column in enumerate(self._numbers)}
        self._strict = np.array([not c.nullable for c in self._numbers], dtype=bool)[:, None]
        self._width = len(plan.numeric_sources)
        self._fills = list(self._numeric_fills(plan.operations))
        self._cycles = [(at, op) for at, op in _placed(plan.operations) if isinstance(op, Cycle)]
        self._codes = [_coder(op) for op in plan.operations if isinstance(op, Lookup | Hash)]

    def run(self, columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the plan's `numeric` and `categorical` arrays for the rows of `columns`."""
        if self._derivation is not None:
            columns = {**columns, **self._derived(columns, self._derivation)}
        values = {column.name: _values(columns, column) for column in self._inputs}
        rows = self._rows(values)
        read = {column.name: _read(column, values[column.name]) for column in self._others}
        arrays: dict[str, np.ndarray] = {}
        matrix = self._matrix(values, rows)
        if self._width:
            arrays[NUMERIC] = self._numeric(matrix, read, rows)
        if self._codes:
            codes = np.empty((rows, len(self._codes)), dtype=np.int64)
            for at, (column, coder) in enumerate(self._codes):
                try:
                    codes[:, at] = coder(read[column] if column in read else _texts(values[column]))
                except UnicodeEncodeError:
                    raise SignatureMismatch("a text is not valid Unicode", column=column) from None
            arrays[CATEGORICAL] = codes
        return arrays

    def _derived(self, columns: Mapping[str, Any], derivation: Derivation) -> dict[str, np.ndarray]:
        rows = self._rows({column.name: _values(columns, column) for column in self._raw})
        return derivation.run({c.name: _derivable(c, _values(columns, c)) for c in self._reads}, rows)

    def _rows(self, values: Mapping[str, Any]) -> int:
        lengths = {len(column) for column in values.values()}
        if len(lengths) > 1:
            counts = ", ".join(f"{name} {len(column)}" for name, column in values.items())
            raise SignatureMismatch(f"columns differ in length: {counts}")
        return lengths.pop() if lengths else 0

    # -- numbers ---------------------------------------------------------------------------------------------------------

    def _matrix(self, values: Mapping[str, Any], rows: int) -> np.ndarray:
        """Return all numbers as float64, `[columns, rows]`, with NaN for missing values."""
        for column in self._numbers:
            _check_numbers(column, values[column.name])
        try:
            matrix = np.array([values[column.name] for column in self._numbers], dtype=np.float64)
        except OverflowError:
            self._refuse_long(values)
            raise
        matrix = matrix.reshape(len(self._numbers), rows)
        self._refuse(np.isnan(matrix) & self._strict, "is null or NaN, but the training data had no missing value")
        if (np.abs(matrix) >= _INTEGERS_END).any():
            self._refuse_long(values)
        return matrix

    def _refuse(self, wrong: np.ndarray, reason: str) -> None:
        if wrong.any():
            which, row = (int(i) for i in np.argwhere(wrong)[0])
            raise SignatureMismatch(f"the value {reason}", column=self._numbers[which].name, row=row)

    def _refuse_long(self, values: Mapping[str, Any]) -> None:
        """Refuse numbers beyond 64 bits: any value in a column of integers, and integers in a column of numbers."""
        for column in self._numbers:
            _refuse_long(column, values[column.name])

    def _numeric(self, matrix: np.ndarray, read: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
        out = np.empty((rows, self._width), dtype=np.float32)
        if self._fills:
            missing = np.isnan(matrix)
            with np.errstate(over="ignore", invalid="ignore"):
                for fill in self._fills:
                    fill(matrix, missing, out)
        for at, operation in self._cycles:
            out[:, at : at + 2] = cycle(read[operation.column], operation.part)
        return out

    def _numeric_fills(self, operations: Sequence[Operation]) -> Sequence[_Fill]:
        placed = list(_placed(operations))
        scales = [(at, op) for at, op in placed if isinstance(op, Scale)]
        flags = [(at, op) for at, op in placed if isinstance(op, Missing)]
        ramps = [(at, op) for at, op in placed if isinstance(op, Ramp)]
        makers = ((_scale_fill, scales), (_missing_fill, flags), (_ramp_fill, ramps))
        return [make(some, self._row) for make, some in makers if some]


_Fill = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def _placed(operations: Sequence[Operation]) -> list[tuple[int, Operation]]:
    """Return each operation with its first column in `numeric`."""
    starts = np.cumsum([0, *(width(op) for op in operations)]).tolist()
    return list(zip(starts, operations, strict=False))


def _scale_fill(placed: Sequence[tuple[int, Any]], row: Mapping[str, int]) -> _Fill:
    at, source = _where(placed, row)
    mean, factor, limit = (
        np.array([[getattr(op, name)] for _, op in placed], dtype=np.float64) for name in ("mean", "factor", "limit")
    )

    def fill(matrix: np.ndarray, missing: np.ndarray, out: np.ndarray) -> None:
        scaled = (matrix[source] - mean) * factor
        np.minimum(np.maximum(scaled, -limit, out=scaled), limit, out=scaled)
        scaled[missing[source]] = 0.0
        out[:, at] = scaled.T

    return fill


def _missing_fill(placed: Sequence[tuple[int, Any]], row: Mapping[str, int]) -> _Fill:
    at, source = _where(placed, row)

    def fill(_matrix: np.ndarray, missing: np.ndarray, out: np.ndarray) -> None:
        out[:, at] = missing[source].T

    return fill


def _ramp_fill(placed: Sequence[tuple[int, Any]], row: Mapping[str, int]) -> _Fill:
    """All ramps as one matrix: one row for each interval of each column."""
    at = np.concatenate([np.arange(start, start + len(op.edges) - 1) for start, op in placed])
    source = np.concatenate([np.full(len(op.edges) - 1, row[op.column]) for _, op in placed])
    low = np.concatenate([op.edges[:-1] for _, op in placed])[:, None]
    factor = np.concatenate([factors(op) for _, op in placed])[:, None]

    def fill(matrix: np.ndarray, missing: np.ndarray, out: np.ndarray) -> None:
        share = (matrix[source] - low) * factor
        np.minimum(np.maximum(share, 0.0, out=share), 1.0, out=share)
        share[missing[source]] = 0.0
        out[:, at] = share.T

    return fill


def factors(ramp: Ramp) -> list[float]:
    """Return the reciprocal of the width of each interval."""
    return [1.0 / (high - low) for low, high in zip(ramp.edges, ramp.edges[1:], strict=False)]


def _where(placed: Sequence[tuple[int, Any]], row: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([at for at, _ in placed]), np.array([row[op.column] for _, op in placed])


# -- categories ----------------------------------------------------------------------------------------------------------


def _coder(operation: Lookup | Hash) -> tuple[str, Callable[[Any], Any]]:
    if isinstance(operation, Hash):
        buckets, seed = operation.buckets, operation.seed
        return operation.column, lambda texts: hash_indices(texts, buckets, seed)
    table: dict[str | None, int] = {value: code for code, value in enumerate(operation.values, 1)}
    table[None] = 0
    other, get = len(operation.values) + 1, table.get
    return operation.column, lambda texts: [get(text, other) for text in texts]


def _texts(values: Any) -> list[str | None]:
    """Return the integers of a column as categories."""
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    return [None if value is None or value != value else str(int(value)) for value in listed]  # noqa: PLR0124 - NaN


# -- values against the signature ----------------------------------------------------------------------------------------


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
        return values.tolist() if values.dtype.kind in "OUST" else values
    for name in ("to_pylist", "to_list"):
        if hasattr(values, name):
            return getattr(values, name)()
    return list(values)


def _check_numbers(column: SignatureColumn, values: Any) -> None:
    if isinstance(values, np.ndarray):
        fits = values.dtype.kind in ("b" if column.type == "boolean" else "fiu")
        if fits and (column.type != "integer" or values.dtype.kind != "f"):
            return
        values = values.tolist()
    if not set(map(type, values)) <= _EXPECTED[column.type]:
        for row, value in enumerate(values):
            if not _is_number(column.type, value):
                raise mismatch(column, row, value)


def _derivable(column: SignatureColumn, values: Any) -> np.ndarray:
    """Return a column, checked, in the form that derived columns read."""
    if column.type in ("string", "date", "datetime"):
        read = _read(column, values)
        return objects(read) if column.type == "string" else np.asarray(read)
    _check_numbers(column, values)
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        _refuse_long(column, values)
        raise


def _refuse_long(column: SignatureColumn, values: Any) -> None:
    more = "; write it as a float, such as 1e20" if column.type == "number" else ""
    for row, value in enumerate(values):
        if value is not None and not _fits(column.type, value):
            raise SignatureMismatch(f"the value does not fit in 64 bits{more}", column=column.name, row=row)


def _fits(kind: str, value: Any) -> bool:
    """Return whether 64 bits hold `value`. An integer in a column of numbers may be signed or unsigned: capture stores it unchanged."""
    if kind == "integer":
        return bool(value != value or -_INTEGERS_END <= value < _INTEGERS_END)  # noqa: PLR0124 - NaN
    return not isinstance(value, int) or -_INTEGERS_END <= value < _UNSIGNED_END


def _is_number(kind: str, value: Any) -> bool:
    if value is None or isinstance(value, bool | np.bool_):
        return value is None or kind == "boolean"
    if kind == "boolean":
        return False
    if isinstance(value, int | np.integer):
        return True
    if not isinstance(value, float | np.floating):
        return False
    return kind == "number" or float(value).is_integer() or bool(np.isnan(value))


def _read(column: SignatureColumn, values: Any) -> Any:
    """Return texts unchanged, dates and times as microseconds."""
    if column.type == "string":
        kinds = set(map(type, values))
        if not kinds <= _EXPECTED["string"]:
            row = next(row for row, value in enumerate(values) if value is not None and not isinstance(value, str))
            raise mismatch(column, row, values[row])
        if type(None) in kinds and not column.nullable:
            raise mismatch(column, values.index(None), None)
        return values
    try:
        times = read_times(values, dates=column.type == "date")
    except Unreadable as error:
        raise SignatureMismatch(error.message, column=column.name, row=error.row) from None
    if not column.nullable and (times == MISSING).any():
        raise mismatch(column, int(np.argmax(times == MISSING)), None)
    return times


def mismatch(column: SignatureColumn, row: int, value: object) -> SignatureMismatch:
    """Return the error for a value that does not fit its column."""
    if value is None:
        return SignatureMismatch("the value is null, but the training data had no null", column=column.name, row=row)
    excerpt = repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:40]}…"  # noqa: PLR2004 - enough to recognise it
    return SignatureMismatch(f"{excerpt} is not of type {column.type}", column=column.name, row=row)
