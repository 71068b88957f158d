"""`data diff`: compare two versions of datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.dataref import dataset_name, dataset_version
from mlopsfw.cli.output import emit_json, json_option, pass_project, table

if TYPE_CHECKING:
    from mlopsfw.datasets.difference import Difference
    from mlopsfw.project import Project


@click.command()
@click.argument("name")
@click.argument("before")
@click.argument("after")
@click.option("--key", multiple=True, metavar="COLUMN", help="A column that identifies a row. May be repeated.")
@json_option
@pass_project
def diff(project: Project, name: str, before: str, after: str, *, key: tuple[str, ...], as_json: bool) -> None:
    """Compare two versions: columns, row counts, and rows by key (whole rows without one)."""
    name = dataset_name(name)
    a, b = (dataset_version(project, name, text) for text in (before, after))
    found = project.datasets.diff(name, a.version, b.version, key)
    if as_json:
        emit_json(found)
        return
    click.echo(f"{found.before} → {found.after}: {found.rows_before:,} → {found.rows_after:,} rows")
    if found.equal:
        click.echo("The content is the same.")
        return
    table(_changes(found), empty="The columns are the same.")
    _print_rows(found)


def _changes(found: Difference) -> list[dict[str, Any]]:
    added = [{"column": name, "before": None, "after": kind} for name, kind in found.columns_added.items()]
    removed = [{"column": name, "before": kind, "after": None} for name, kind in found.columns_removed.items()]
    retyped = [{"column": name, "before": a, "after": b} for name, (a, b) in found.columns_retyped.items()]
    return [*added, *removed, *retyped]


def _print_rows(found: Difference) -> None:
    changed = f", {found.changed:,} changed" if found.key else ""
    by = f"by {', '.join(found.key)}" if found.key else "whole rows compared"
    click.echo(f"Rows ({by}): {found.added:,} added, {found.removed:,} removed{changed}")
    for what, keys in found.examples.items():
        click.echo(f"  {what}, such as {'; '.join(', '.join(f'{k}={v}' for k, v in row.items()) for row in keys)}")
    if found.changed_columns:
        table([{"column": name, "rows changed": count} for name, count in found.changed_columns.items()])
