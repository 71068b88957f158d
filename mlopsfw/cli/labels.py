"""The verbs of labels, the true outcomes of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project, table
from mlopsfw.cli.sources import csv_options, sheet_option

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.reading import ReadOptions
    from mlopsfw.project.facade import Project


@click.group()
def labels() -> None:
    """Add the true outcomes of predictions, and show them."""


@labels.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", required=True, help="The model's name.")
@csv_options
@sheet_option
@pass_project
def add(project: Project, *, file: Path, model: str, csv: ReadOptions, sheet: str) -> None:
    """Add the labels in FILE (CSV, JSON lines, Excel, Parquet or Arrow IPC).

    FILE has the columns prediction_id and label, and may have label_time (with its zone). prediction_id is the id in the server's
    answer. The client's own id works too if it names only one prediction. A later label of a prediction replaces the earlier one.
    """
    click.echo(f"{project.label_files.add(model, file, csv, sheet)} labels added to {model}")


@labels.command()
@click.option("--model", required=True, help="The model's name.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many labels to show.")
@json_option
@pass_project
def show(project: Project, *, model: str, limit: int, as_json: bool) -> None:
    """Show the latest labels of a model, and count the labels that name no captured prediction."""
    from mlopsfw.serving.captures.frames import shown

    latest = project.labels.scan(model).sort("label_time", descending=True).limit(limit)
    rows = latest.with_columns(shown("label_time"), shown("received_time")).collect().to_dicts()
    if as_json:
        emit_json(rows)
    else:
        table(
            [
                {**row, "label_time": row["label_time"].isoformat() if row["label_time"] else "impossible"}
                for row in rows
            ],
            ("prediction_id", "label", "label_time"),
        )
        unknown = project.labels.unknown(model)
        if unknown:
            click.echo(
                f"{unknown:,} labelled ids name no captured prediction. They are kept, but no metric counts them."
            )
