"""`data get`, and what `data add --files` does: sets of files that are no tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project
from mlopsfw.cli.progress import progress
from mlopsfw.kernel.base.errors import UsageError

if TYPE_CHECKING:
    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.project.facade import Project


def add_files(
    project: Project, name: str, folders: tuple[str, ...], message: str, *, append: bool, force: bool, quiet: bool
) -> DatasetVersion:
    """Make the files of one folder a version of a set."""
    if len(folders) != 1:
        raise UsageError("--files takes one folder", hint=f"mlopsfw data add {name} ./images --files")
    with progress(quiet=quiet) as told:
        return project.filesets.add(name, Path(folders[0]), message, append=append, force=force, progress=told)


def verify_files(project: Project, version: DatasetVersion) -> None:
    """Read every file of a set. Raise `Corrupt` where one is not what was added."""
    project.filesets.open(version).verify()


@click.command()
@click.argument("ref", metavar="NAME[@VERSION]")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--sync", is_flag=True, help="Remove files from FOLDER that the set does not have.")
@click.option("--force", is_flag=True, help="Overwrite and remove also files whose content no version of the set has.")
@json_option
@pass_project
def get(project: Project, ref: str, folder: Path, *, sync: bool, force: bool, as_json: bool) -> None:
    """Lay the files of a set out below FOLDER; those that are there already are left as they are."""
    version = project.datasets.resolve(ref)
    laid = project.filesets.open(version).get(folder, sync=sync, force=force)
    if as_json:
        emit_json(laid)
        return
    removed = f", {laid.removed:,} removed" if sync else ""
    click.echo(f"{laid.written:,} files written, {laid.unchanged:,} were there already{removed}")
    if version.erased_rows:
        click.echo(f"{version.erased_rows:,} files were erased from {version.ref} on request")
