"""`FeaturePlan`: the operations, their JSON and their rules. The executors run them; `fit` chooses them.

Operations that yield floats fill the columns of `numeric` (float32, `[rows, k]`) in the order of the plan; operations that yield codes
fill the columns of `categorical` (int64, `[rows, c]`). A value is missing if it is null or NaN.

"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.kernel.base.errors import BundleError, UsageError
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.kernel.roles.derived import Derived
from mlopsfw.kernel.roles.training import TrainingTask

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from mlopsfw.features.columns import RequestPlan
    from mlopsfw.features.signature import Signature
else:
    np = lazy("numpy")
    pl = lazy("polars")
    pa = lazy("pyarrow")

FORMAT = 1
NUMERIC, CATEGORICAL = "numeric", "categorical"
Part = Literal["hour", "weekday", "month"]

_LONGEST_JSON = 64 << 20
_MOST_CODES = 1 << 26


class Scale(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="scale", tag_field="op"):
    """`(x - mean) * factor`, clipped to ±`limit`; 0 if missing. One float.

    Args:
        column: A number, integer or boolean (false 0, true 1).
        mean: The value that becomes 0.
        factor: One over the spread. A factor, not a divisor: executors divide by a constant in different ways.
        limit: The bound for outliers and infinities.
    """

    column: str
    mean: float
    factor: float
    limit: float = 8.0


class Missing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="missing", tag_field="op"):
    """1 if `column` is missing, else 0. One float.

    Args:
        column: A number, integer or boolean.
    """

    column: str


class Ramp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ramp", tag_field="op"):
    """The position of `column` within each interval between neighbouring `edges`, in [0, 1]; 0 if missing.

    `len(edges) - 1` floats: the piecewise-linear encoding of Gorishniy, Rubachev & Babenko, "On Embeddings for Numerical
    Features in Tabular Deep Learning" (2022), eq. 1.

    Args:
        column: A number, integer or boolean.
        edges: Ends of the intervals, ascending.
    """

    column: str
    edges: tuple[float, ...]


class Cycle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cycle", tag_field="op"):
    """Sine and cosine of the position of a date or time in the day (by minute), week or year (by month), in UTC; 0, 0 if missing.

    Args:
        column: A date or datetime.
        part: `hour` of the day, `weekday`, or `month` of the year.
    """

    column: str
    part: Part


class Lookup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="lookup", tag_field="op"):
    """The code of a category: 0 if missing, 1 to n for `values` in order, n + 1 for any other. One code.

    Args:
        column: A text or integer.
        values: The categories with codes of their own.
    """

    column: str
    values: tuple[str, ...]


class Hash(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="hash", tag_field="op"):
    """The bucket of a category by `mlopsfw_core.hash_indices`: 0 if missing, else 1 to `buckets` - 1. One code.

    Args:
        column: A text or integer.
        buckets: How many codes there are.
        seed: Of the hash.
    """

    column: str
    buckets: int
    seed: int = 0


Operation = Scale | Missing | Ramp | Cycle | Lookup | Hash

_NUMBERS = frozenset({"number", "integer", "boolean"})
_TAKES: dict[type[msgspec.Struct], frozenset[str]] = {
    Scale: _NUMBERS,
    Missing: _NUMBERS,
    Ramp: _NUMBERS,
    Cycle: frozenset({"date", "datetime"}),
    Lookup: frozenset({"string", "integer"}),
    Hash: frozenset({"string", "integer"}),
}


class FeaturePlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The columns of a request, and the operations that turn each row into floats and codes.

    Args:
        inputs: The columns of a request.
        operations: The operations on them and on derived columns, in order.
        derived: Columns computed first, each from the inputs and the derived columns before it.
        format: Version of this layout.
    """

    inputs: tuple[SignatureColumn, ...]
    operations: tuple[Operation, ...]
    derived: tuple[Derived, ...] = ()
    format: int = FORMAT

    # -- making, keeping -------------------------------------------------------------------------------------------------

    @classmethod
    def fit(cls, table: pa.Table | pl.DataFrame, task: TrainingTask) -> FeaturePlan:
        """Return the plan for the columns of `table` and the options in `task.options`.

        Raises:
            DataError: A column is missing, or no operation takes its type.
            UsageError: An option cannot be met.
        """
        from mlopsfw.features.fit import fit

        return fit(table, task)

    def to_json(self) -> bytes:
        """Return the plan as JSON: equal plans give equal bytes."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> FeaturePlan:
        """Read the JSON of `to_json`. Raise `BundleError` if it is no plan, or one that cannot run."""
        if len(data) > _LONGEST_JSON:
            raise BundleError(f"the feature plan has {len(data):,} bytes; at most {_LONGEST_JSON:,} are allowed")
        try:
            plan = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BundleError(f"the feature plan cannot be read: {error}") from None
        plan.check()
        return plan

    def check(self) -> None:
        """Raise `BundleError` if an operation names no input, takes another type, or has invalid numbers."""
        if self.format != FORMAT:
            raise BundleError(
                f"the feature plan has format {self.format}, and this version reads format {FORMAT}",
                hint="Upgrade mlopsfw.",
            )
        types: dict[str, str] = {column.name: column.type for column in self.inputs}
        if len(types) != len(self.inputs):
            raise BundleError("the feature plan names an input twice")
        if self.derived:
            types |= self._derived_types(types)
        for operation in self.operations:
            label = f"the feature plan's {type(operation).__name__.lower()} of {operation.column!r}"
            if types.get(operation.column) not in _TAKES[type(operation)]:
                raise BundleError(f"{label} has no input of a suitable type")
            if not _sound(operation):
                raise BundleError(f"{label} has impossible numbers")

    def _derived_types(self, types: Mapping[str, str]) -> dict[str, str]:
        from mlopsfw.features.expressions import KINDS, kind_of

        kinds = {name: KINDS[kind] for name, kind in types.items()}
        for each in self.derived:
            if each.name in kinds:
                raise BundleError(f"the feature plan makes the column {each.name!r} twice")
            try:
                kinds[each.name] = kind_of(each.expression, kinds)
            except UsageError as error:
                raise BundleError(f"the feature plan's column {each.name!r} cannot be made: {error.message}") from None
            if each.type != {"boolean": "number"}.get(kinds[each.name], kinds[each.name]):
                raise BundleError(f"the feature plan's column {each.name!r} is not of type {each.type}")
        return {each.name: each.type for each in self.derived}

    # -- running ---------------------------------------------------------------------------------------------------------

    def numpy(self, columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Check columns against the signature and return the feature arrays of their rows.

        Args:
            columns: Input → one value a row: a list, a NumPy array, or what has `to_list` or `to_pylist`. Others are ignored.

        Raises:
            SignatureMismatch: A column is missing, or holds what it cannot; names column and row.
        """
        return self.apply(self._signature.arrays(columns))

    def apply(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the feature arrays of the rows of `columns`, as a runtime's model gets them: arrays, checked by the kernel."""
        return self._request.run(columns)

    @cached_property
    def _signature(self) -> Signature:
        from mlopsfw.features.signature import Signature

        return Signature(self.inputs)

    @cached_property
    def _request(self) -> RequestPlan:
        from mlopsfw.features.columns import RequestPlan

        return RequestPlan(self)

    def polars(self, frame: pl.DataFrame | pa.Table) -> dict[str, np.ndarray]:
        """Return the feature arrays of a table's rows, by Polars. Any column may hold nulls.

        Raises:
            SignatureMismatch: A column is missing or has another type.
        """
        from mlopsfw.features.tables import run

        return run(self, frame)

    # -- what comes out --------------------------------------------------------------------------------------------------

    @cached_property
    def reads(self) -> frozenset[str]:
        """The inputs that derived columns read."""
        if not self.derived:
            return frozenset()
        from mlopsfw.features.expressions import columns_of

        derived_names = {each.name for each in self.derived}
        return frozenset(name for each in self.derived for name in columns_of(each.expression)) - derived_names

    @cached_property
    def numeric_sources(self) -> tuple[str, ...]:
        """For each column of `numeric`, the input from which it is computed."""
        return tuple(op.column for op in self.operations for _ in range(width(op)))

    @cached_property
    def categorical_sources(self) -> tuple[str, ...]:
        """For each column of `categorical`, the input from which it is computed."""
        return tuple(op.column for op in self.operations if isinstance(op, Lookup | Hash))

    @cached_property
    def code_counts(self) -> tuple[int, ...]:
        """For each column of `categorical`, the number of codes; codes start at 0."""
        return tuple(codes(op) for op in self.operations if isinstance(op, Lookup | Hash))


def width(operation: Operation) -> int:
    """Return the number of floats that an operation yields."""
    match operation:
        case Scale() | Missing():
            return 1
        case Cycle():
            return 2
        case Ramp(edges=edges):
            return len(edges) - 1
    return 0


def codes(operation: Lookup | Hash) -> int:
    """Return the largest number of codes that an operation may yield."""
    return operation.buckets if isinstance(operation, Hash) else len(operation.values) + 2


def _sound(operation: Operation) -> bool:
    match operation:
        case Scale(mean=mean, factor=factor, limit=limit):
            return all(map(math.isfinite, (mean, factor, limit))) and factor > 0 and limit > 0
        case Ramp(edges=edges):
            widths = [high - low for low, high in pairwise(edges)]
            return bool(widths) and all(0 < each < math.inf and 1 / each < math.inf for each in widths)
        case Lookup(values=values):
            return len(set(values)) == len(values) <= _MOST_CODES
        case Hash(buckets=buckets, seed=seed):
            return 1 < buckets <= _MOST_CODES and 0 <= seed < 1 << 32
    return True
