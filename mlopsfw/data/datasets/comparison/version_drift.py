"""Compare two versions of a dataset by the rule of `mlopsfw.data.drift.job`, over the columns of both without nested values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.data.drift.job import STREAM_FROM, Outcome, row_bytes, with_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mlopsfw.data.datasets.comparison.difference import Difference
    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.data.datasets.versions import DatasetVersion


def compare_versions(
    datasets: VersionStore,
    before: DatasetVersion,
    after: DatasetVersion,
    *,
    alpha: float = 0.05,
    threshold: float = 0.05,
) -> Outcome:
    """Return the columns of `after` that have drifted from `before`, most drifted first. Large versions are streamed.

    Args:
        datasets: The datasets.
        before: The reference.
        after: The version to compare with it.
        alpha: The level, corrected over columns; it holds if rows are exchangeable.
        threshold: The smallest effect that counts, as a share of rows.
    """
    import polars as pl

    from mlopsfw.data.tables.digest import record_batches
    from mlopsfw_core import compare_samples, compare_streams

    old, new = datasets.scan(before), datasets.scan(after)
    names = _compared(old, new)
    old, new, rows = old.select(names), new.select(names), (before.rows, after.rows)
    if max(rows) * row_bytes(pl.DataFrame(schema=old.collect_schema()).to_arrow().schema) > STREAM_FROM:
        result = compare_streams(
            lambda: record_batches(old), lambda: record_batches(new), alpha=alpha, threshold=threshold
        )
        drifted = any(column.drifted for column in result.drifts)
        return with_reason(Outcome(result.drifts, result.rows, drifted, stream=result), (before.ref, after.ref))
    frames = old.collect(engine="streaming"), new.collect(engine="streaming")
    first, second = ({name: frame[name] for name in names} for frame in frames)
    drifts = compare_samples(first, second, alpha=alpha, threshold=threshold)
    outcome = Outcome(drifts, rows, any(column.drifted for column in drifts), frames=frames)
    return with_reason(outcome, (before.ref, after.ref))


def effect_bound(
    datasets: VersionStore, before: DatasetVersion, after: DatasetVersion, difference: Difference
) -> float:
    """Return a bound on the effect of every column from the rows that differ; 1 without such a bound.

    If d of a column's values were added, removed or changed, the two samples share all others. So their total variation, and with it
    Kolmogorov's D and the change of the missing share, is at most d over the number of values.
    """
    if not difference.key or difference.columns_retyped:
        return 1.0
    moved = max(difference.added, difference.removed)
    old, new = datasets.scan(before), datasets.scan(after)
    names = _compared(old, new)
    differing = {name: moved + difference.changed_columns.get(name, 0) for name in names}
    if max(differing.values(), default=0) >= min(before.rows, after.rows):
        return 1.0
    values = [_values(side, names) for side in (old, new)]
    return max((count / max(min(side[name] for side in values), 1) for name, count in differing.items()), default=0.0)


def _compared(old: pl.LazyFrame, new: pl.LazyFrame) -> list[str]:
    schema, others = old.collect_schema(), new.collect_schema()
    both = [name for name in schema if name in others]
    return [name for name in both if not (schema[name].is_nested() or others[name].is_nested())]


def _values(side: pl.LazyFrame, names: Sequence[str]) -> dict[str, int]:
    """Return how many values each column has that are neither null nor NaN."""
    import polars as pl

    schema = side.collect_schema()
    real = [pl.col(name).fill_nan(None) if schema[name].is_float() else pl.col(name) for name in names]
    return side.select(column.count() for column in real).collect(engine="streaming").row(0, named=True)
