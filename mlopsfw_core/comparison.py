"""Is a column different from its reference, and which columns of a table are? Effect and significance, both.

Each column is asked two questions: have its values moved, and has its share of missing rows? The p-value of a column is twice that
of the finding it reports (Bonferroni), and over columns the false discovery rate is controlled (Benjamini-Hochberg). A
column counts as drifted when its adjusted p-value is at most `alpha` and its effect at least `threshold`. Rows are taken to be
exchangeable; where they cluster, give each column's design effect (`mlopsfw_core.clusters`), by which row counts are divided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._buffers import table_columns
from ._categories import Categories, align, category_details, compare_counts
from ._findings import ColumnDrift, Finding, Presence, check_settings, column_drift, decide, lost_column
from ._numbers import Numbers, Sorted, ks_against, shift_details, sort_column, value_counts
from ._text import category_counts
from ._threads import map_columns
from .prepared import Reference

MANY_ROWS = 20_000
"""From this many rows on, columns are compared in parallel; below, starting threads costs more than it gains."""


def _value_finding(reference: Numbers, current: Sorted, design: float) -> Finding:
    if reference.levels is None:
        distance, pvalue = ks_against(reference, current.values, design)
        return Finding("ks", distance, pvalue, distance)
    values, counts = value_counts(current.values)
    before = dict(reference.levels)
    after = dict(zip(values.tolist(), counts.tolist(), strict=True))
    levels = sorted(before.keys() | after.keys())
    tested = compare_counts(
        np.array([before.get(level, 0) for level in levels], dtype=np.float64),
        np.array([after.get(level, 0) for level in levels], dtype=np.float64),
        design,
    )
    return Finding("chisquare", tested.statistic, tested.pvalue, tested.effect)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found in a current column: the finding on its values, how many rows are missing and present, and details."""

    finding: Finding
    missing: int
    present: int
    details: Mapping[str, Any]


def _see(
    content: Numbers | Categories, read: Sorted | tuple[dict[str, int], int], design: float, *, describe: bool
) -> _Seen:
    if isinstance(content, Numbers):
        assert isinstance(read, Sorted)  # noqa: S101 - `_read` returns what the content asks for
        return _Seen(
            _value_finding(content, read, design),
            read.nulls + read.nan,
            read.values.size,
            shift_details(content, read.values) if describe else {},
        )
    assert isinstance(read, tuple)  # noqa: S101 - as above
    counts, missing = read
    tested = compare_counts(*align(content, counts), design)
    finding = Finding("chisquare", tested.statistic, tested.pvalue, tested.effect)
    return _Seen(finding, missing, sum(counts.values()), category_details(content, counts))


def _read(content: Numbers | Categories, column: Any) -> Sorted | tuple[dict[str, int], int]:
    return sort_column(column) if isinstance(content, Numbers) else category_counts(column)


def _compare(
    reference: Reference, column: Any, threshold: float, design: float, *, describe: bool = True
) -> ColumnDrift:
    """Compare one column, leaving `drifted` to who knows how many others there are."""
    try:
        read = _read(reference.content, column)
    except TypeError as error:
        return lost_column(reference.name, reference.kind, "type", threshold, str(error))
    current_side = _see(reference.content, read, design, describe=describe)
    return column_drift(
        reference.name,
        reference.kind,
        current_side.finding,
        Presence(reference.rows, reference.missing),
        Presence(current_side.present + current_side.missing, current_side.missing),
        threshold,
        current_side.details,
        design,
    )


def _check_reference(what: str, reference: object) -> None:
    if not isinstance(reference, Reference):
        raise TypeError(f"{what} is a {type(reference).__name__}, not a Reference; Reference.fit(column) makes one")


def _check_references(references: object, floors: Mapping[str, float], designs: Mapping[str, float]) -> None:
    if not isinstance(references, Mapping):
        raise TypeError(
            f"references is a {type(references).__name__}, not a mapping of column names to References; "
            "to compare two tables, call compare_samples(reference, current)"
        )
    for name, reference in references.items():
        _check_reference(f"references[{name!r}]", reference)
    for what, given in (("thresholds", floors), ("design_effects", designs)):
        unknown = [name for name in given if name not in references]
        if unknown:
            raise ValueError(f"{what} names {unknown[0]!r}, which has no reference")
    for name, effect in designs.items():
        if not 1.0 <= effect < float("inf"):
            raise ValueError(f"the design effect of {name!r} is at least 1, not {effect}")


def compare_column(reference: Reference, column: Any, *, alpha: float = 0.05, threshold: float = 0.05) -> ColumnDrift:
    """Compare one current column with its reference; see `compare_table` for the arguments."""
    check_settings(alpha, threshold)
    _check_reference("reference", reference)
    return decide([_compare(reference, column, threshold, 1.0)], alpha)[0]


def compare_table(  # noqa: PLR0917 - each is a plain setting, named where it is called
    references: Mapping[str, Reference],
    table: Any,
    alpha: float = 0.05,
    threshold: float = 0.05,
    thresholds: Mapping[str, float] | None = None,
    design_effects: Mapping[str, float] | None = None,
) -> list[ColumnDrift]:
    """Compare a table with the references of its columns, most drifted first.

    Args:
        references: by column name. Columns of the table without a reference are left out.
        table: a mapping of columns, or anything that exports Arrow record batches (Polars, PyArrow, ...).
        alpha: the false discovery rate over the columns; without any drift, and if rows are exchangeable, the chance of any alarm.
        threshold: the least effect that counts, as a share of rows.
        thresholds: the same for single columns.
        design_effects: by column, by how much the clustering of rows inflates variances (at least 1).

    Returns:
        One ColumnDrift for each reference. The same input gives the same answer: nothing here is random, and the number of
        threads (`MLOPSFW_THREADS`) changes nothing.

    Raises:
        TypeError: `references` holds no references, such as a table (`compare_samples` compares two tables), or `table` is none.
        ValueError: a level, threshold or design effect is out of range, or is given for a column without a reference.
    """
    floors, designs = thresholds or {}, design_effects or {}
    check_settings(alpha, threshold, *floors.values())
    _check_references(references, floors, designs)
    columns = table_columns(table)

    def drift_of(name: str) -> ColumnDrift:
        reference, floor = references[name], floors.get(name, threshold)
        named = reference if reference.name == name else replace(reference, name=name)
        if name not in columns:
            return lost_column(name, named.kind, "absent", floor, f"the table has no column {name!r}")
        return _compare(named, columns[name], floor, designs.get(name, 1.0))

    rows = max((len(column) for column in columns.values() if hasattr(column, "__len__")), default=0)
    return decide(map_columns(drift_of, list(references), worthwhile=rows >= MANY_ROWS), alpha)


def compare_samples(
    reference: Any, current: Any, columns: Sequence[str] | None = None, *, alpha: float = 0.05, threshold: float = 0.05
) -> list[ColumnDrift]:
    """Compare two tables of which neither is kept: every value counts, and each column is forgotten once it is compared.

    The decision is that of `compare_table`; of numbers, `details` do not describe the change beyond its tests.

    Args:
        reference: a table, as `compare_table` takes it.
        current: the same.
        columns: which columns of the reference; all where None.
        alpha: see `compare_table`.
        threshold: see `compare_table`.

    Raises:
        TypeError: one of them is no table, or a column of the reference has nested values; names the column.
        ValueError: `alpha` or `threshold` is out of range, or `columns` names one that the reference does not have.
    """
    check_settings(alpha, threshold)
    before, after = table_columns(reference), table_columns(current)

    def drift_of(name: str) -> ColumnDrift:
        try:
            fitted = Reference.fit(before[name], name=name, max_points=max(len(before[name]), 1))
        except TypeError as error:
            raise TypeError(f"column {name!r}: {error}") from None
        if name not in after:
            return lost_column(name, fitted.kind, "absent", threshold, f"the table has no column {name!r}")
        return _compare(fitted, after[name], threshold, 1.0, describe=False)

    names = list(before if columns is None else [columns] if isinstance(columns, str) else columns)
    unknown = [name for name in names if name not in before]
    if unknown:
        raise ValueError(f"the reference has no column {unknown[0]!r}; it has {', '.join(map(repr, before))}")
    rows = max((len(before[name]) for name in names), default=0)
    return decide(map_columns(drift_of, names, worthwhile=rows >= MANY_ROWS), alpha)
