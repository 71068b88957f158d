"""`data vacuum`: remove the files of versions that nothing needs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from mlopsfw.cli.dataref import dataset_name
from mlopsfw.cli.output import emit_json, json_option, pass_project
from mlopsfw.kernel.base.errors import UsageError

if TYPE_CHECKING:
    from mlopsfw.data.datasets.removal.vacuum import Vacuum
    from mlopsfw.kernel.config.model import Retention
    from mlopsfw.project.facade import Project


@click.command()
@click.argument("name", required=False)
@click.option("--keep", type=click.IntRange(1), help="Keep this many of the newest versions.")
@click.option("--older-than", metavar="TIME", help="Remove only versions older than this, such as 30d.")
@click.option("--force", is_flag=True, help="Remove also versions that something needs, and say what that breaks.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
@json_option
@pass_project
def vacuum(
    project: Project,
    name: str | None,
    *,
    keep: int | None,
    older_than: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove the files of old versions of dataset NAME.

    Without NAME, it vacuums every dataset with a `retention` in mlopsfw.toml. It keeps the newest version, and each version that a tag, a registered model, an unfinished run, a step of mlopsfw.toml
    or a quarantined row needs. You cannot get removed versions back.
    """
    removal = project.version_removal
    with project.index.pinned() if dry_run else nullcontext():
        policies = _policies(project, name, keep, older_than)
        done = [removal.vacuum(each, policy, force=force, dry_run=dry_run) for each, policy in policies.items()]
    if as_json:
        emit_json(done)
        return
    for each in done:
        _tell(each)


def _policies(project: Project, name: str | None, keep: int | None, older_than: str | None) -> dict[str, Retention]:
    from mlopsfw.kernel.config.model import Retention

    retentions = {each: data.retention for each, data in project.config.data.items() if data.retention}
    if name is None:
        if keep or older_than or not retentions:
            raise UsageError(
                "no dataset is named, and none has a `retention` in mlopsfw.toml",
                hint='mlopsfw data vacuum trips --keep 5, or [data.trips] retention = { keep = 5, older_than = "30d" }',
            )
        return {each: policy for each, policy in retentions.items() if project.datasets.history(each).versions}
    name = dataset_name(name)
    if keep or older_than:
        return {name: Retention(keep=keep or 1, older_than=older_than or "")}
    if name not in retentions:
        raise UsageError(
            f"no rule says which versions of {name!r} to keep", hint="Give --keep N or --older-than 30d, or both."
        )
    return {name: retentions[name]}


def _tell(done: Vacuum) -> None:
    verb = "would be removed" if done.dry_run else "removed"
    numbers = ", ".join(map(str, done.versions)) or "none"
    click.echo(f"data:/{done.dataset}: versions {verb}: {numbers}; {done.files} files, {done.freed:,} bytes")
    if done.waiting:
        click.echo(
            f"  {done.waiting:,} more bytes are less than two days old: a later vacuum or `mlopsfw gc` removes them"
        )
    for version, reasons in done.forced.items():
        click.echo(f"  version {version} is not kept, because of --force: {'; '.join(reasons)}")
    for version, reasons in done.kept.items():
        click.echo(f"  version {version} is kept: {'; '.join(reasons)}")
