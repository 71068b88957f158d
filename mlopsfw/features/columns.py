"""The executor for requests: takes checked columns as arrays, and returns feature arrays. Needs only NumPy.

Most requests have one row, so all their numbers become one matrix, and each kind of operation is one expression over it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopsfw.features.derive import Derivation
from mlopsfw.features.plan import CATEGORICAL, NUMERIC, Cycle, Hash, Lookup, Missing, Operation, Ramp, Scale, width
from mlopsfw.features.times import cycle
from mlopsfw.kernel.base.errors import SignatureMismatch
from mlopsfw_core import hash_indices

if TYPE_CHECKING:
    from mlopsfw.features.plan import FeaturePlan

_TOGETHER = 256  # rows: their features stay in the processor's caches


class RequestPlan:
    """A plan, prepared for requests. Holds no state between them; many threads may use it.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: FeaturePlan) -> None:
        types: dict[str, str] = {column.name: column.type for column in plan.inputs}
        types |= {column.name: column.type for column in plan.derived}
        self.numbers = [name for name, kind in types.items() if kind in ("number", "integer", "boolean")]
        self._reads = [(column.name, column.type) for column in plan.inputs if column.name in plan.reads]
        self._derivation = Derivation(plan.derived) if plan.derived else None
        self._row = {name: row for row, name in enumerate(self.numbers)}
        self._width = len(plan.numeric_sources)
        self._fills = list(self._numeric_fills(plan.operations))
        self._cycles = [(at, op) for at, op in _placed(plan.operations) if isinstance(op, Cycle)]
        self._codes = [_coder(op, types[op.column]) for op in plan.operations if isinstance(op, Lookup | Hash)]

    def run(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the plan's `numeric` and `categorical` arrays for the rows of `columns`, as `Signature.arrays` makes them."""
        rows = len(next(iter(columns.values()), ()))
        if self._derivation is not None:
            columns = {
                **columns,
                **self._derivation.run({name: _derivable(columns[name], kind) for name, kind in self._reads}, rows),
            }
        arrays: dict[str, np.ndarray] = {}
        if self._width:
            arrays[NUMERIC] = out = np.empty((rows, self._width), dtype=np.float32)
            self.fill(self._matrix(columns, rows), columns, out)
        if self._codes:
            codes = np.empty((rows, len(self._codes)), dtype=np.int64)
            for at, (column, coder) in enumerate(self._codes):
                try:
                    codes[:, at] = coder(columns[column])
                except UnicodeEncodeError:
                    raise SignatureMismatch("a text is not valid Unicode", column=column) from None
            arrays[CATEGORICAL] = codes
        return arrays

    # -- numbers ---------------------------------------------------------------------------------------------------------

    def _matrix(self, columns: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
        """Return all numbers as float64, `[columns, rows]`, with NaN for missing values."""
        matrix = np.empty((len(self.numbers), rows))
        for at, name in enumerate(self.numbers):
            matrix[at] = columns[name]
        return matrix

    def fill(self, matrix: np.ndarray, read: Mapping[str, np.ndarray], out: np.ndarray) -> None:
        """Fill `numeric`, float32 `[rows, k]`.

        Args:
            matrix: The columns of `numbers`, float64 `[columns, rows]`, with NaN for missing values.
            read: The columns of dates and times.
            out: What is filled.
        """
        if self._fills:
            with np.errstate(over="ignore", invalid="ignore"):
                for at in range(0, len(out), _TOGETHER):
                    self._fill(matrix[:, at : at + _TOGETHER], out[at : at + _TOGETHER])
        for at, operation in self._cycles:
            out[:, at : at + 2] = cycle(_micros(read[operation.column]), operation.part)

    def _fill(self, matrix: np.ndarray, out: np.ndarray) -> None:
        features, missing = np.empty(out.shape[::-1], dtype=np.float32), np.isnan(matrix)
        for fill in self._fills:
            fill(matrix, missing, features)
        out[:] = features.T

    def _numeric_fills(self, operations: Sequence[Operation]) -> Sequence[_Fill]:
        placed = list(_placed(operations))
        scales = [(at, op) for at, op in placed if isinstance(op, Scale)]
        flags = [(at, op) for at, op in placed if isinstance(op, Missing)]
        ramps = [(at, op) for at, op in placed if isinstance(op, Ramp)]
        makers = ((_scale_fill, scales), (_missing_fill, flags), (_ramp_fill, ramps))
        return [make(some, self._row) for make, some in makers if some]


_Fill = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
_Places = slice | np.ndarray


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
        scaled = matrix[source] - mean
        scaled *= factor
        np.minimum(np.maximum(scaled, -limit, out=scaled), limit, out=scaled)
        _clear(scaled, missing, source)
        out[at] = scaled

    return fill


def _missing_fill(placed: Sequence[tuple[int, Any]], row: Mapping[str, int]) -> _Fill:
    at, source = _where(placed, row)

    def fill(_matrix: np.ndarray, missing: np.ndarray, out: np.ndarray) -> None:
        out[at] = missing[source]

    return fill


def _ramp_fill(placed: Sequence[tuple[int, Any]], row: Mapping[str, int]) -> _Fill:
    """All ramps as one matrix: one row for each interval of each column."""
    at = np.concatenate([np.arange(start, start + len(op.edges) - 1) for start, op in placed])
    source = np.concatenate([np.full(len(op.edges) - 1, row[op.column]) for _, op in placed])
    low = np.concatenate([op.edges[:-1] for _, op in placed])[:, None]
    factor = np.concatenate([factors(op) for _, op in placed])[:, None]

    def fill(matrix: np.ndarray, missing: np.ndarray, out: np.ndarray) -> None:
        share = matrix[source]
        share -= low
        share *= factor
        np.minimum(np.maximum(share, 0.0, out=share), 1.0, out=share)
        _clear(share, missing, source)
        out[at] = share

    return fill


def _clear(values: np.ndarray, missing: np.ndarray, source: _Places) -> None:
    """Set the features of missing values to 0."""
    if missing.any():
        np.copyto(values, 0.0, where=missing[source])


def factors(ramp: Ramp) -> list[float]:
    """Return the reciprocal of the width of each interval."""
    return [1.0 / (high - low) for low, high in zip(ramp.edges, ramp.edges[1:], strict=False)]


def _where(placed: Sequence[tuple[int, Any]], row: Mapping[str, int]) -> tuple[_Places, _Places]:
    return _places([at for at, _ in placed]), _places([row[op.column] for _, op in placed])


def _places(numbers: list[int]) -> _Places:
    """Return an index: a slice where the numbers are evenly spaced, which copies nothing."""
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    even = range(numbers[0], numbers[-1] + 1, step) if step > 0 else ()
    return slice(numbers[0], numbers[-1] + 1, step) if list(even) == numbers else np.array(numbers)


def _micros(moments: np.ndarray) -> np.ndarray:
    """Return dates or times as int64 microseconds."""
    return moments if moments.dtype.kind == "i" else moments.astype("M8[us]").view(np.int64)


def _derivable(values: np.ndarray, kind: str) -> np.ndarray:
    """Return a column in the form that derived columns read."""
    if kind == "string":
        return values
    return _micros(values) if kind in ("date", "datetime") else values.astype(np.float64)


# -- categories ----------------------------------------------------------------------------------------------------------


def _coder(operation: Lookup | Hash, kind: str) -> tuple[str, Callable[[np.ndarray], Any]]:
    code = _hashed(operation) if isinstance(operation, Hash) else _looked_up(operation)
    if kind == "integer":
        return operation.column, lambda values: code(_texts(values))
    return operation.column, lambda values: code(values.tolist())


def _hashed(operation: Hash) -> Callable[[list[Any]], Any]:
    buckets, seed = operation.buckets, operation.seed
    return lambda texts: hash_indices(texts, buckets, seed)


def _looked_up(operation: Lookup) -> Callable[[list[Any]], Any]:
    table: dict[str | None, int] = {value: code for code, value in enumerate(operation.values, 1)}
    table[None] = 0
    other, get = len(operation.values) + 1, table.get
    return lambda texts: [get(text, other) for text in texts]


def _texts(values: np.ndarray) -> list[str | None]:
    """Return the integers of a column as categories."""
    return [None if value is None or value != value else str(int(value)) for value in values.tolist()]  # noqa: PLR0124 - NaN
