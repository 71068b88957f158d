"""The rule `distribution`: compares a version's new rows with the previous version, by significance and effect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mlopsfw.data.contracts.kinds import kind_of
from mlopsfw.data.contracts.model import Distribution
from mlopsfw.data.contracts.results import Result
from mlopsfw.kernel.base.ids import nearest

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw_core import ColumnDrift

_MOST = 200_000  # rows of each side to compare; more would find nothing that matters
COMPARED = ("integer", "number", "boolean", "string", "date", "datetime")
"""Kinds of columns that have a distribution to compare."""


def without_previous(rule: Distribution, reason: str) -> list[Result]:
    """Return the result of an impossible comparison."""
    expected = "distributed as in the previous version"
    return [
        Result(
            rule="distribution", columns=rule.columns, level=rule.level, status="skip", expected=expected, found=reason
        )
    ]


def compare(before: pl.LazyFrame, after: pl.LazyFrame, rule: Distribution, ref: str) -> list[Result]:
    """Return a result for each column of `before` that the rule covers and both versions have."""
    from mlopsfw_core import compare_samples

    schema, now = dict(before.collect_schema()), dict(after.collect_schema())
    unknown = [name for name in rule.columns if name not in now]
    selected = [name for name in (rule.columns or schema) if name not in rule.skip]
    names = [name for name in selected if name in schema and name in now and _same_sort(schema[name], now[name])]
    results = [_absent(name, now, rule) for name in unknown]
    if names:
        drifts = compare_samples(
            _some(before, names), _some(after, names), names, alpha=rule.alpha, threshold=rule.threshold
        )
        results += [_result(drift, rule, ref) for drift in drifts]
    return results


def _same_sort(before: Any, after: Any) -> bool:
    """Return whether two columns can be compared. A changed type is for the rule `type` to report."""
    kinds = {kind_of(before), kind_of(after)}
    return kinds <= set(COMPARED) and (len(kinds) == 1 or kinds == {"integer", "number"})


def _some(rows: pl.LazyFrame, names: Iterable[str]) -> pl.DataFrame:
    """Return the rows, or a part of many, chosen by the hash of their number."""
    import polars as pl

    rows = rows.select(names)
    height = int(rows.select(pl.len()).collect(engine="streaming").item())
    if height <= _MOST:
        return rows.collect(engine="streaming")
    chosen = pl.col("\0row").hash(23) < int(_MOST / height * 2**64)
    return rows.with_row_index("\0row").filter(chosen).drop("\0row").collect(engine="streaming")


def _absent(name: str, now: Iterable[str], rule: Distribution) -> Result:
    finding = f"column {name!r} is missing. {nearest(name, now)}"
    return Result(
        rule="distribution", columns=(name,), level=rule.level, status=rule.level, expected="there", found=finding
    )


def _result(drift: ColumnDrift, rule: Distribution, ref: str) -> Result:
    """Return one column's result. `share` is the effect: the share of rows that must have changed."""
    finding = f"at least {drift.effect:.1%} of the rows differ ({drift.statistic}, p = {drift.pvalue:.2g})"
    return Result(
        rule="distribution",
        columns=(drift.column,),
        level=rule.level,
        status=rule.level if drift.drifted else "pass",
        share=min(max(drift.effect, 0.0), 1.0),
        expected=f"distributed as in {ref}",
        found=finding if drift.drifted else "",
    )
