"""`data tag`: add, move and remove tags of versions."""

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
@click.option("--move", is_flag=True, help="Move the tag from another version.")
@click.option("--remove", is_flag=True, help="Remove the tag.")
@click.option("-m", "--message", default="", help="A reason, for other people.")
@json_option
@pass_project
def tag(project: Project, ref: str, name: str, *, move: bool, remove: bool, message: str, as_json: bool) -> None:
    """Tag a version of a dataset, by default the newest.

    You may then write NAME@TAG wherever you may write NAME@3. A tag names one version, and moves only with --move.
    """
    from mlopsfw.lineage.references import parse_reference

    reference = parse_reference(ref, "data")
    if remove and (move or reference.selector):
        raise UsageError(
            "--remove takes neither a version nor --move", hint=f"mlopsfw data tag {reference.name} {name} --remove"
        )
    if remove:
        version = project.datasets.untag(reference.name, name)
    else:
        chosen = project.datasets.resolve(ref).version
        version = project.datasets.tag(reference.name, name, chosen, message, move=move)
    if as_json:
        emit_json({"tag": name, "removed": remove, "version": project.people.show(version)})
    else:
        click.echo(f"{name} is {'no longer ' if remove else ''}on {version.ref}")
