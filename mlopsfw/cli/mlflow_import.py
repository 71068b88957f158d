"""`import mlflow`: bring runs and models over."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project, printable, table
from mlopsfw.operations.installation import require_tables

if TYPE_CHECKING:
    from mlopsfw.project.facade import Project
    from mlopsfw.project.mlflow.importing import MlflowImport

_MOST = 20


@click.command("mlflow")
@click.argument("source")
@click.option(
    "--artifacts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of the artifacts; by default mlruns itself, or the database's folder. No file outside of it is opened.",
)
@click.option("--unfinished", is_flag=True, help="Import also runs that have not ended, as interrupted ones.")
@click.option(
    "--max-artifact", default=1024, show_default=True, type=click.IntRange(1), help="The largest artifact, in MiB."
)
@click.option("--dry-run", is_flag=True, help="Say what would be imported; write nothing.")
@json_option
@pass_project
def import_mlflow(
    project: Project, source: str, *, artifacts: Path | None, unfinished: bool, max_artifact: int, dry_run: bool, as_json: bool
) -> None:  # fmt: skip
    """Import the runs and the registered models of MLflow. SOURCE is a folder mlruns, its database, or sqlite:///FILE.

    A second import adds what is new since the first. Models come over if their flavour has an open format; nothing is unpickled.
    """
    require_tables()
    from mlopsfw.project.mlflow.importing import Choices, import_mlflow, open_store

    choices = Choices(artifacts=artifacts, unfinished=unfinished, most=max_artifact << 20, dry_run=dry_run)
    result = import_mlflow(project, open_store(source), choices)
    emit_json(result) if as_json else _tell(result)


def _tell(result: MlflowImport) -> None:
    problems = [f"run {run.mlflow}: {printable(why)}" for run in result.runs for why in run.why]
    click.echo("".join(f"{line}\n" for line in problems[:_MOST]), nl=False)
    if len(problems) > _MOST:
        click.echo(f"and {len(problems) - _MOST} more; --json lists all")
    rows = [
        {
            "model in MLflow": each.mlflow,
            "here": each.ref,
            "aliases": ", ".join(each.aliases),
            "state": each.state,
            "why": each.why.partition("\n")[0],
        }
        for each in result.models
    ]
    if rows:
        table(rows)
    words = {
        "new": "would be imported" if result.dry_run else "imported",
        "present": "present already",
        "skipped": "skipped",
    }
    for what, entries in (("runs", result.runs), ("versions of models", result.models)):
        counted = Counter(each.state for each in entries)
        click.echo(
            f"{what}: {', '.join(f'{counted[state]} {text}' for state, text in words.items() if counted[state]) or 'none'}"
        )
