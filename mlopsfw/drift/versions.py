"""Compares two versions of a dataset as `job` compares two files: the columns of both that hold no nested values, by one and the same rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.drift.job import STREAM_FROM, Outcome, row_bytes

if TYPE_CHECKING:
    from mlopsfw.datasets import Datasets, DatasetVersion


def compare_versions(
    datasets: Datasets, before: DatasetVersion, after: DatasetVersion, *, alpha: float = 0.05, threshold: float = 0.05
) -> Outcome:
    """Return which columns of `after` have drifted from `before`, most drifted first; large versions are streamed.

    Args:
        datasets: The datasets.
        before: The reference.
        after: What is compared with it.
        alpha: The false-alarm budget, corrected over columns.
        threshold: The least effect that counts, as a share of rows.
    """
    from mlopsfw.digest import record_batches
    from mlopsfw_core import compare_samples, compare_streams

    old, new = datasets.scan(before), datasets.scan(after)
    schema, others = old.collect_schema(), new.collect_schema()
    names = [
        name for name, kind in schema.items() if name in others and not (kind.is_nested() or others[name].is_nested())
    ]
    old, new, rows = old.select(names), new.select(names), (before.rows, after.rows)
    if max(rows) * row_bytes(old.collect_schema()) > STREAM_FROM:
        found = compare_streams(
            lambda: record_batches(old), lambda: record_batches(new), alpha=alpha, threshold=threshold
        )
        drifted = any(one.drifted for one in found.drifts)
        return Outcome(found.drifts, found.rows, drifted, stream=found)
    frames = old.collect(engine="streaming"), new.collect(engine="streaming")
    first, second = ({name: frame[name] for name in names} for frame in frames)
    drifts = compare_samples(first, second, alpha=alpha, threshold=threshold)
    return Outcome(drifts, rows, any(one.drifted for one in drifts), frames=frames)
