"""`data diff`: compare two versions of a dataset: columns, rows, drift."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.dataref import dataset_name, dataset_version
from mlopsfw.cli.drift import alpha_option, html_option, threshold_option, write_page
from mlopsfw.cli.output import emit_json, json_option, pass_project, printable, table

if TYPE_CHECKING:
    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.data.datasets.comparison.difference import Difference
    from mlopsfw.data.drift.job import Outcome
    from mlopsfw.project.facade import Project


@click.command()
@click.argument("name")
@click.argument("before", metavar="VERSION|TAG")
@click.argument("after", metavar="VERSION|TAG")
@click.option("--key", multiple=True, metavar="COLUMN", help="A column that identifies rows. May be repeated.")
@click.option("--drift/--no-drift", "drifting", default=True, help="Whether to examine the columns for drift.")
@alpha_option
@threshold_option
@html_option
@json_option
@pass_project
def diff(
    project: Project,
    name: str,
    before: str,
    after: str,
    *,
    key: tuple[str, ...],
    drifting: bool,
    html: Path | None,
    as_json: bool,
    **rule: float,
) -> None:
    """Compare the columns, row counts and rows of two versions, and the distribution of each column.

    Rows are matched by --key, or as a whole without one. A column has drifted if its p-value is small (corrected over all columns) and
    its effect is noticeable.
    """
    a, b = (dataset_version(project, dataset_name(name), text) for text in (before, after))
    found = project.datasets.diff(a.name, a.version, b.version, key)
    outcome, bound = None, 0.0
    if html is not None or (drifting and not found.equal):
        outcome, bound = _drift(project, a, b, found, whole=html is not None, **rule)
    if html is not None and outcome is not None:
        write_page(html, outcome, found.before, found.after, _sentences(found), **rule)
    if as_json:
        emit_json(_as_json(found, outcome, bound) if drifting else found)
    else:
        _print(found)
        if drifting and not found.equal:
            _print_drift(outcome, bound)


def _drift(
    project: Project, a: DatasetVersion, b: DatasetVersion, found: Difference, *, whole: bool, **rule: float
) -> tuple[Outcome | None, float]:
    """Return the drift and an upper bound of every effect. No drift is computed if the bound is below the threshold, unless `whole`."""
    from mlopsfw.data.datasets.comparison.version_drift import compare_versions, effect_bound

    bound = effect_bound(project.datasets, a, b, found)
    needed = whole or bound >= rule["threshold"]
    return (compare_versions(project.datasets, a, b, **rule) if needed else None), bound


def _as_json(found: Difference, outcome: Outcome | None, bound: float) -> dict[str, Any]:
    import msgspec

    from mlopsfw.data.drift.table import column_row

    said: dict[str, Any] = msgspec.to_builtins(found, enc_hook=str)
    drifts = outcome.drifts if outcome else []
    columns = [column_row(each) for each in drifts]
    drift = {"drifted": outcome.drifted if outcome else [], "columns": columns, "bound": min(bound, 1.0)}
    nothing = {"nothing_compared": outcome.nothing} if outcome and outcome.nothing else {}
    return said | {"drift": drift | nothing}


def _print(found: Difference) -> None:
    click.echo(f"{found.before} → {found.after}: {found.rows_before:,} → {found.rows_after:,} rows")
    if found.equal:
        click.echo("The content is the same.")
        return
    table(_changes(found), empty="The columns are the same.")
    for line in _rows(found):
        click.echo(printable(line))
    if found.changed_columns:
        table([{"column": name, "rows changed": count} for name, count in found.changed_columns.items()])


def _sentences(found: Difference) -> list[str]:
    """Return what differs besides distributions, a sentence each."""
    if found.equal:
        return ["The content is the same."]
    columns = [f"The column {each['column']!r} was {_became(each)}." for each in _changes(found)]
    changed = [f"{count:,} rows changed in {name!r}." for name, count in found.changed_columns.items()]
    return [*(columns or ["The columns are the same."]), *_rows(found), *changed]


def _became(change: dict[str, Any]) -> str:
    before, after = change["before"], change["after"]
    if before is None:
        return f"added, of type {after}"
    return "removed" if after is None else f"of type {before}, and is {after} now"


def _changes(found: Difference) -> list[dict[str, Any]]:
    added = [{"column": name, "before": None, "after": kind} for name, kind in found.columns_added.items()]
    removed = [{"column": name, "before": kind, "after": None} for name, kind in found.columns_removed.items()]
    retyped = [{"column": name, "before": a, "after": b} for name, (a, b) in found.columns_retyped.items()]
    return [*added, *removed, *retyped]


def _rows(found: Difference) -> list[str]:
    changed = f", {found.changed:,} changed" if found.key else ""
    by = f"by {', '.join(found.key)}" if found.key else "whole rows compared"
    lines = [f"Rows ({by}): {found.added:,} added, {found.removed:,} removed{changed}"]
    for what, keys in found.examples.items():
        such = "; ".join(", ".join(f"{name}={value}" for name, value in row.items()) for row in keys)
        lines.append(f"  {what}, such as {such}")
    return lines


def _print_drift(outcome: Outcome | None, bound: float) -> None:
    from mlopsfw.data.drift.table import SHOWN, column_row

    if outcome is None:
        click.echo(f"Drift: none; at most {bound:.2%} of any column's values differ, less than the threshold.")
        return
    if outcome.nothing:
        click.echo(f"Drift: nothing was compared: {outcome.nothing}.")
        return
    click.echo(f"Drift: {len(outcome.drifted)} of {len(outcome.drifts)} columns")
    table([column_row(each) for each in outcome.drifts if each.drifted], SHOWN, empty="No column has drifted.")
