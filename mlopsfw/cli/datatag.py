"""`data tag`: give a version a name, move it, take it away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project
from mlopsfw.kernel.base.errors import UsageError

if TYPE_CHECKING:
    from mlopsfw.project.facade import Project


@click.command()
@click.argument("ref", metavar="NAME[@VERSION]")
@click.argument("name", metavar="TAG")
@click.option("--move", is_flag=True, help="Take the tag from the version that it is on.")
@click.option("--remove", is_flag=True, help="Take the tag away.")
@click.option("-m", "--message", default="", help="Why, for people.")
@json_option
@pass_project
def tag(project: Project, ref: str, name: str, *, move: bool, remove: bool, message: str, as_json: bool) -> None:
    """Put TAG on a version of a dataset, the newest where none is told.

    NAME@TAG then stands for it wherever NAME@3 does. A tag is on one version, and moves only with --move.
    """
    from mlopsfw.kernel.base.references import parse_reference

    reference = parse_reference(ref, "data")
    if remove and (move or reference.selector):
        raise UsageError(
            "a tag is removed from wherever it is", hint=f"mlopsfw data tag {reference.name} {name} --remove"
        )
    if remove:
        version = project.datasets.untag(reference.name, name)
    else:
        chosen = project.datasets.resolve(ref).version
        version = project.datasets.tag(reference.name, name, chosen, message, move=move)
    if as_json:
        emit_json({"tag": name, "removed": remove, "version": version})
    else:
        click.echo(f"{name} is {'no longer ' if remove else ''}on {version.ref}")
