"""Choose a feature plan for a training table: the columns to learn from, and how each becomes numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np
import polars as pl

from mlopsfw.data.tables.prefetch import in_order
from mlopsfw.features.derive import with_derived
from mlopsfw.features.expressions import columns_of
from mlopsfw.features.plan import Cycle, FeaturePlan, Hash, Lookup, Missing, Operation, Ramp, Scale
from mlopsfw.features.summary import WholeColumn
from mlopsfw.features.tables import as_frame, column_type
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw_core._sorting import ascending

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.features.summary import Summary
    from mlopsfw.kernel.roles.derived import Derived
    from mlopsfw.kernel.roles.training import TrainingTask

_VOCABULARY = 1000  # most categories with codes of their own; a column with more is hashed
_SEEN = 3  # occurrences that a category needs for a code of its own
_NEAR = 1e-9  # of a column's range
_SMALLEST = 1e-300
_BUCKETS = (64, 1 << 16)  # fewest and most of a hashed column by default


class ColumnWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of one column in `task.options`.

    Args:
        kind: `number` or `category`; by default the one that suits the type. Integers may be either.
        buckets: Hash the category to this many buckets, instead of keeping a vocabulary.
        bins: Quantile intervals of a number's piecewise-linear encoding; 0 for none, None to choose.
        pii: Whether it is personal: neither the plan nor the profile stores a value of it.
    """

    kind: Literal["", "number", "category"] = ""
    buckets: int = 0
    bins: int | None = None
    pii: bool = False


DEFAULT_BINS = 16


def fit(table: pa.Table | pl.DataFrame, task: TrainingTask) -> FeaturePlan:
    """Return the plan for a table's columns. Raise `DataError` or `UsageError` if a column or an option does not fit."""
    frame = as_frame(table)
    chosen = choose(frame.columns, task)
    if chosen.derived:
        frame = with_derived(frame, chosen.derived, reads(chosen.derived))
    return plan_of(chosen, task, frame.schema, {name: WholeColumn(frame[name]) for name in chosen.all})


def plan_of(
    chosen: Chosen, task: TrainingTask, schema: Mapping[str, pl.DataType], summaries: Mapping[str, Summary]
) -> FeaturePlan:
    """Return the plan for columns that are summarised. Raise as `fit` does."""
    wishes = _with_personal(read_wishes(task), chosen.derived)
    inputs = [_signature(name, schema[name], missing=summaries[name].missing) for name in chosen.raw]
    columns = {column.name: column for column in inputs}
    columns |= {each.name: SignatureColumn(name=each.name, type=each.type, nullable=True) for each in chosen.derived}
    operations: list[Operation] = []

    def operations_of(name: str) -> list[Operation]:
        return list(_operations(summaries[name], columns[name], wishes.get(name, ColumnWish()), task.seed))

    for of_column in in_order(operations_of, chosen.names):
        operations += of_column
    plan = FeaturePlan(inputs=tuple(inputs), operations=tuple(operations), derived=chosen.derived)
    plan.check()
    return plan


def training_columns(columns: Sequence[str], task: TrainingTask) -> list[str]:
    """Return those columns of a table that a training reads: inputs of the model, labels and weights. Raise as `fit` does."""
    return list(dict.fromkeys([*choose(columns, task).raw, task.target, *filter(None, (task.weight,))]))


class Chosen(NamedTuple):
    """The columns of a training.

    Args:
        names: The columns to learn from.
        derived: The derived columns that they need.
        raw: The table's columns that both are made of.
    """

    names: list[str]
    derived: tuple[Derived, ...]
    raw: list[str]

    @property
    def all(self) -> list[str]:
        """The table's columns, and the derived ones to learn from."""
        return list(dict.fromkeys([*self.raw, *self.names]))


def choose(columns: Sequence[str], task: TrainingTask) -> Chosen:
    """Return which of a table's columns a training needs. Raise as `fit` does."""
    names = learned_columns([*columns, *(each.name for each in task.derived)], task)
    derived = used(task.derived, names)
    derived_names = {each.name for each in derived}
    raw = [name for name in dict.fromkeys([*names, *reads(derived)]) if name not in derived_names]
    return Chosen(names, derived, raw)


def learned_columns(columns: list[str], task: TrainingTask) -> list[str]:
    """Return the names of the columns to learn from. Raise `DataError` if one is missing."""
    required = [*task.features, task.target, *filter(None, (task.weight,))]
    for name in required:
        if name not in columns:
            raise DataError(f"the training rows have no column {name!r}", hint=nearest(name, columns))
    excluded = {task.target, task.time, task.weight, *task.exclude}
    names = list(task.features) if task.features else [name for name in columns if name not in excluded]
    if task.target in names:
        raise UsageError(f"the target {task.target!r} is among the features", hint="Remove it from `features`.")
    if not names:
        raise DataError("the training rows have no feature column")
    return names


def used(derived: tuple[Derived, ...], names: list[str]) -> tuple[Derived, ...]:
    """Return the derived columns that `names`, or the derived columns among them, need."""
    needed, reversed_columns = set(names), []
    for each in reversed(derived):
        if each.name in needed:
            needed |= columns_of(each.expression)
            reversed_columns.append(each)
    return tuple(reversed(reversed_columns))


def _with_personal(wishes: dict[str, ColumnWish], derived: tuple[Derived, ...]) -> dict[str, ColumnWish]:
    """Return the options, with every column derived from a personal one marked personal, too."""
    by_column = dict(wishes)
    for each in derived:
        if any(name in by_column and by_column[name].pii for name in columns_of(each.expression)):
            by_column[each.name] = msgspec.structs.replace(by_column.get(each.name, ColumnWish()), pii=True)
    return by_column


def reads(derived: tuple[Derived, ...]) -> list[str]:
    """Return the tables' columns from which derived columns are computed, in order."""
    derived_names = {each.name for each in derived}
    return [name for each in derived for name in sorted(columns_of(each.expression)) if name not in derived_names]


def read_wishes(task: TrainingTask) -> dict[str, ColumnWish]:
    """Return `task.options` checked. Raise `UsageError`."""
    wishes: dict[str, ColumnWish] = {}
    for name, options in task.options.items():
        try:
            wishes[name] = msgspec.convert(options, ColumnWish)
        except msgspec.ValidationError as error:
            allowed = ", ".join(ColumnWish.__struct_fields__)
            raise UsageError(f"options of column {name!r}: {error}", hint=f"Known: {allowed}.") from None
    return wishes


def _signature(name: str, dtype: pl.DataType, *, missing: bool) -> SignatureColumn:
    kind = column_type(dtype)
    if kind is None:
        raise DataError(
            f"column {name!r} holds {dtype}, and no feature can be made from it",
            hint="Add it to `exclude`, or convert it to a number, text, boolean, date or datetime in an earlier step.",
        )
    return SignatureColumn(name=name, type=kind, nullable=missing)


def is_category(kind: str, wish: ColumnWish) -> bool:
    """Return whether a column of a type and with options is a category."""
    return kind == "string" or wish.kind == "category" or wish.buckets > 0


def check_kind(column: SignatureColumn, wish: ColumnWish) -> None:
    """Raise `UsageError` if a column's type cannot be the kind that its options ask for."""
    if is_category(column.type, wish) and column.type not in ("string", "integer"):
        raise UsageError(f"column {column.name!r} is of type {column.type} and cannot be a category")
    if wish.kind == "number" and column.type in ("string", "date", "datetime"):
        raise UsageError(f"column {column.name!r} is of type {column.type} and cannot be a number")


def hash_buckets(categories: int) -> int:
    """Return how many buckets so many categories are hashed to: a power of two, at least twice their number, within limits."""
    fewest, most = _BUCKETS
    return min(max(1 << (2 * max(categories, 1) - 1).bit_length(), fewest), most)


def _operations(summary: Summary, column: SignatureColumn, wish: ColumnWish, seed: int) -> Iterator[Operation]:
    check_kind(column, wish)
    if is_category(column.type, wish):
        yield _category(summary, column.name, wish, seed)
    elif column.type in ("date", "datetime"):
        parts = ("hour", "weekday", "month") if column.type == "datetime" else ("weekday", "month")
        for part in parts:
            yield Cycle(column=column.name, part=part)  # type: ignore[arg-type]  # each is a Part
    else:
        yield from _number(summary, column, wish)


def _category(summary: Summary, name: str, wish: ColumnWish, seed: int) -> Operation:
    if wish.buckets:
        return Hash(column=name, buckets=wish.buckets, seed=seed)
    counts = summary.counts
    if not wish.pii:
        frequent = counts.filter(pl.col("count") >= _SEEN)["text"].sort()
        if len(frequent) <= _VOCABULARY:
            return Lookup(column=name, values=tuple(frequent.to_list()))
    return Hash(column=name, buckets=hash_buckets(counts.height), seed=seed)


def _number(summary: Summary, column: SignatureColumn, wish: ColumnWish) -> Iterator[Operation]:
    yield _scale(column, summary)
    if column.nullable:
        yield Missing(column=column.name)
    bins = 0 if wish.pii else DEFAULT_BINS if wish.bins is None else wish.bins  # edges are values
    if column.type == "boolean" or bins < 2 or not summary.values.size:  # noqa: PLR2004 - one interval is a scaled number again
        return
    edges = _edges(summary.values, bins)
    if len(edges) > 2:  # noqa: PLR2004 - as above
        yield Ramp(column=column.name, edges=edges)


def _edges(values: np.ndarray, bins: int) -> tuple[float, ...]:
    """Return quantiles, without those so close to the previous one that rounding explains their distance."""
    with np.errstate(over="ignore", invalid="ignore"):
        quantiles = np.unique(_quantiles(ascending(values), bins))
        width = quantiles[-1] - quantiles[0]
        distinct = np.diff(quantiles, prepend=-np.inf) > max(_NEAR * width, _SMALLEST)
    return tuple(quantiles[distinct].tolist()) if np.isfinite(width) else ()


def _quantiles(ordered: np.ndarray, bins: int) -> np.ndarray:
    """Return `bins` + 1 quantiles of ordered values, with the bits of `np.quantile`, which takes longer to find the values than a sort does."""
    places = np.linspace(0.0, 1.0, bins + 1) * (len(ordered) - 1)
    lower = places.astype(np.intp)
    part, low, high = places - lower, ordered[lower], ordered[np.minimum(lower + 1, len(ordered) - 1)]
    quantiles: np.ndarray = low + (high - low) * part
    np.subtract(high, (high - low) * (1.0 - part), out=quantiles, where=part >= 0.5)  # noqa: PLR2004 - as NumPy does
    return quantiles


def _scale(column: SignatureColumn, summary: Summary) -> Scale:
    if column.type == "boolean":
        return Scale(column=column.name, mean=0.5, factor=2.0)
    mean, spread = summary.moments
    if not np.isfinite(mean) or not np.isfinite(spread):  # values near the largest float: use their middle
        values = summary.values if summary.values.size else np.zeros(1)  # a sample may have none
        mean, spread = float(np.quantile(values, 0.5, method="lower")), float(np.abs(values).max())
    factor = 1.0 / spread if spread > 0 else 1.0
    return Scale(column=column.name, mean=mean, factor=factor if np.isfinite(factor) else 1.0)
