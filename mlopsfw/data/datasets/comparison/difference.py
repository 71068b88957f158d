"""Compare two versions of a dataset: columns, row counts, and rows by key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.datasets.comparison.alignment import hashes
from mlopsfw.data.datasets.comparison.keyed import Sides, by_key
from mlopsfw.kernel.base.errors import DataError, UnknownName
from mlopsfw.kernel.base.ids import nearest

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.datasets.versions import DatasetVersion


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The differences of `after` from `before`.

    Args:
        before, after: The versions, as references.
        rows_before, rows_after: Row counts.
        equal: Whether the logical content is the same.
        columns_added, columns_removed: Names.
        columns_retyped: Column → [type before, type after].
        key: The columns that identify a row; without them whole rows are compared.
        added, removed, changed: Row counts; `changed` is 0 without a key.
        changed_columns: Column → rows in which it differs (with a key); a column that changed its type is not compared.
        examples: `added`, `removed`, `changed` → a few keys (with a key).
    """

    before: str
    after: str
    rows_before: int
    rows_after: int
    equal: bool
    columns_added: dict[str, str]
    columns_removed: dict[str, str]
    columns_retyped: dict[str, tuple[str, str]]
    key: tuple[str, ...] = ()
    added: int = 0
    removed: int = 0
    changed: int = 0
    changed_columns: dict[str, int] = {}
    examples: dict[str, list[dict[str, Any]]] = {}


def compare(before: DatasetVersion, after: DatasetVersion, sides: Sides, key: Sequence[str] = ()) -> Difference:
    """Compare two versions.

    Args:
        before: One version.
        after: The other.
        sides: Their rows.
        key: Columns that identify a row; each must be in both versions, and no two rows may share one. Nulls equal nulls.

    Raises:
        UnknownName: A key column is not in both.
        DataError: The key does not identify rows, or a key column changed its type.
    """
    a, b = before.columns, after.columns
    result = Difference(
        before=before.ref,
        after=after.ref,
        rows_before=before.rows,
        rows_after=after.rows,
        equal=before.digest == after.digest,
        columns_added={name: kind for name, kind in b.items() if name not in a},
        columns_removed={name: kind for name, kind in a.items() if name not in b},
        columns_retyped={name: (a[name], b[name]) for name in a if name in b and a[name] != b[name]},
        key=tuple(key),
    )
    _check_key(result, a, b)
    if result.equal:
        return result
    if not key:
        return msgspec.structs.replace(result, **_whole_rows(result, sides.old, sides.new))
    skip = {*key, *result.columns_added, *result.columns_removed, *result.columns_retyped}
    values = [name for name in a if name not in skip]
    return msgspec.structs.replace(result, **by_key(sides, key, values, (before.ref, after.ref)))


def _check_key(result: Difference, a: dict[str, str], b: dict[str, str]) -> None:
    for name in result.key:
        if name not in a or name not in b:
            raise UnknownName(
                f"the key {name!r} is not a column of both versions", hint=nearest(name, a.keys() & b.keys())
            )
        if name in result.columns_retyped:
            kinds = " and ".join(result.columns_retyped[name])
            raise DataError(
                f"the key {name!r} has two types: {kinds}", hint="Compare by another key, or without a key."
            )


def _whole_rows(result: Difference, old: pl.LazyFrame, new: pl.LazyFrame) -> dict[str, Any]:
    """Count the rows that only one side has, with repetitions. Leaves out columns that only one side has.

    Rows are compared by 64-bit hashes: two different rows count as equal with a probability of 2^-64.
    """
    import numpy as np

    shared = [name for name in old.collect_schema() if name not in {**result.columns_removed, **result.columns_retyped}]
    if not shared:
        return {"added": result.rows_after, "removed": result.rows_before}
    before, after = (np.unique(hashes(side, shared, 0), return_counts=True) for side in (old, new))
    _, a, b = np.intersect1d(before[0], after[0], assume_unique=True, return_indices=True)
    same = int(np.minimum(before[1][a], after[1][b]).sum())
    return {"added": int(after[1].sum()) - same, "removed": int(before[1].sum()) - same}
