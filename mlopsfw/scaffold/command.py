"""The verb `mlopsfw sample`: prints how many versions each dataset of the project has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from mlopsfw import hookimpl
from mlopsfw.commands import emit_json, json_option, pass_project, table

if TYPE_CHECKING:
    from mlopsfw import Project


@click.command("sample")
@json_option
@pass_project
def verb(project: Project, *, as_json: bool) -> None:
    """Print how many versions each dataset has."""
    rows = [{"dataset": newest.name, "versions": newest.version} for newest in project.datasets.newest()]
    if as_json:
        emit_json(rows)
    else:
        table(rows, empty="The project has no dataset.")


@hookimpl
def mlopsfw_commands() -> Iterable[click.Command]:
    """Offer the verb."""
    yield verb
