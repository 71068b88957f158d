"""`data get` and `data add --files`: sets of files that are no tables."""

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
    """Add the files of one folder as a version of a set."""
    if len(folders) != 1:
        raise UsageError("--files takes one folder", hint=f"mlopsfw data add {name} ./images --files")
    with progress(quiet=quiet) as callback:
        return project.filesets.add(name, Path(folders[0]), message, append=append, force=force, progress=callback)


def verify_files(project: Project, version: DatasetVersion) -> None:
    """Read every file of a set. Raise `Corrupt` if one differs from the file that was added."""
    project.filesets.open(version).verify()


@click.command()
@click.argument("ref", metavar="NAME[@VERSION]")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--sync", is_flag=True, help="Remove files from FOLDER that are not in the set.")
@click.option(
    "--force", is_flag=True, help="Overwrite and remove also files whose content is in no version of the set."
)
@json_option
@pass_project
def get(project: Project, ref: str, folder: Path, *, sync: bool, force: bool, as_json: bool) -> None:
    """Write the files of a set to FOLDER. Files that are there already stay as they are."""
    version = project.datasets.resolve(ref)
    laid = project.filesets.open(version).get(folder, sync=sync, force=force)
    if as_json:
        emit_json(laid)
        return
    removed = f", {laid.removed:,} removed" if sync else ""
    click.echo(f"{laid.written:,} files written, {laid.unchanged:,} unchanged{removed}")
    if version.erased_rows:
        click.echo(f"{version.erased_rows:,} files were erased from {version.ref} on request")
