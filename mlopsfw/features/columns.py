"""The executor for requests: takes checked columns as arrays, and returns feature arrays. Needs only NumPy.

Most requests have one row, so all their numbers become one matrix, and one call of the core makes their features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopsfw.features.derive import Derivation
from mlopsfw.features.plan import CATEGORICAL, NUMERIC, Cycle, Hash, Lookup, Missing, Operation, Ramp, Scale, width
from mlopsfw.features.times import cycle
from mlopsfw.kernel.base.errors import SignatureMismatch
from mlopsfw_core import hash_indices
from mlopsfw_core._encoding import MISSING, RAMP, SCALE, STEP, encode_numbers

if TYPE_CHECKING:
    from mlopsfw.features.plan import FeaturePlan


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
        self._steps, self._intervals = _number_steps(plan.operations, self.numbers)
        self._width = len(plan.numeric_sources)
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

    def fill(self, numbers: np.ndarray | list[Any], read: Mapping[str, np.ndarray], out: np.ndarray) -> None:
        """Fill `numeric`, float32 `[rows, k]`.

        Args:
            numbers: The columns of `numbers`: float64 `[columns, rows]`, with NaN for missing values, or a list of Arrow columns.
            read: The columns of dates and times.
            out: What is filled.
        """
        encode_numbers(self._steps, self._intervals, numbers, out)
        for at, operation in self._cycles:
            out[:, at : at + 2] = cycle(_micros(read[operation.column]), operation.part)


def _placed(operations: Sequence[Operation]) -> list[tuple[int, Operation]]:
    """Return each operation with its first column in `numeric`."""
    starts = np.cumsum([0, *(width(op) for op in operations)]).tolist()
    return list(zip(starts, operations, strict=False))


def _number_steps(operations: Sequence[Operation], numbers: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the operations on numbers as `encode_numbers` takes them: steps, and the intervals of ramps."""
    row = {name: at for at, name in enumerate(numbers)}
    steps: list[tuple[float, ...]] = []
    low: list[float] = []
    widths: list[float] = []
    for at, op in _placed(operations):
        match op:
            case Scale():
                steps.append((SCALE, row[op.column], at, 1, 0, op.mean, op.factor, op.limit))
            case Missing():
                steps.append((MISSING, row[op.column], at, 1, 0, 0.0, 0.0, 0.0))
            case Ramp(edges=edges):
                steps.append((RAMP, row[op.column], at, len(edges) - 1, len(low), 0.0, 0.0, 0.0))
                low += edges[:-1]
                widths += [high - start for start, high in pairwise(edges)]
    return np.array(steps, dtype=STEP), np.array([low, np.reciprocal(widths, dtype=np.float64)])


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
