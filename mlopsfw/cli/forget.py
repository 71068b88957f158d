"""`data forget`: erase a subject from a dataset and from everything made from it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project, printable
from mlopsfw.kernel.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mlopsfw.governance.forget import Erasure
    from mlopsfw.project.facade import Project


@click.command()
@click.argument("name")
@click.option(
    "--key",
    default="",
    metavar="COLUMN=VALUE",
    help="Erase rows with this value or its keyed hash; in a set of files, path='faces/ann/*'.",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read COLUMN=VALUE from this file, so that the shell's history does not hold the value.",
)
@click.option(
    "--text",
    "texts",
    multiple=True,
    help="Another text, of at least 6 characters, to look for in logs and values. May be repeated.",
)
@click.option(
    "--text-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read such texts from this file, one a line.",
)
@click.option(
    "--endpoint", "endpoints", multiple=True, help="Search also this endpoint, which the lineage does not reach."
)
@click.option("--dry-run", is_flag=True, help="Show what would be erased; erase nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@pass_project
def forget(
    project: Project,
    name: str,
    *,
    key: str,
    key_file: Path | None,
    texts: tuple[str, ...],
    text_file: Path | None,
    endpoints: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase a subject from dataset NAME and from everything made from it.

    You cannot undo this. The verb erases the subject's rows or files from every version, and the captured predictions, labels and values of
    steps that hold them. If the command is interrupted, run it again to finish.
    """
    from mlopsfw.governance.subject import Subject, parse

    if bool(key) == bool(key_file):
        raise UsageError("give either --key or --key-file", hint="mlopsfw data forget people --key customer=123")
    column, value = parse(key or (key_file or Path()).read_text(encoding="utf-8").rstrip("\r\n"))
    more = text_file.read_text(encoding="utf-8").splitlines() if text_file else []
    subject = Subject(column, value, project.privacy.key, (*texts, *filter(None, more)))
    also = [f"endpoints:/{endpoint}" for endpoint in endpoints]
    if not (dry_run or yes):
        with project.index.pinned():
            _show(project.erasures.forget(name, subject, also=also, dry_run=True))
        click.confirm("Erase this for good?", abort=True)
    with project.index.pinned() if dry_run else nullcontext():
        done = project.erasures.forget(name, subject, also=also, dry_run=dry_run)
    if as_json:
        emit_json(done.body())
    else:
        _show(done)


_SHOWN = {
    "datasets",
    "captures",
    "labels",
    "quarantine",
    "tables",
    "dropped",
    "messages",
    "elsewhere",
    "models",
    "bundles",
    "files",
}
"""What mlopsfw's own components hold; a plugin's are shown as they are."""


def _show(done: Erasure) -> None:
    would = "would be " if done.dry_run else ""
    for name, versions in done.held["datasets"].items():
        counts = ", ".join(f"{rows:,} from version {version}" for version, rows in versions.items())
        click.echo(f"data:/{name}: rows {would}erased: {counts}")
    for what in ("captures", "labels", "quarantine"):
        for name, rows in done.held[what].items():
            click.echo(f"{what}/{name}: {rows:,} rows {would}erased")
    click.echo(
        f"Values of steps: {done.held['tables']} tables {would}rewritten, {done.held['dropped']} others {would}dropped."
    )
    if messages := done.held["messages"]:
        click.echo(f"Messages that quote the subject: {messages} {would}erased.")
    for name, paths in done.held["elsewhere"].items():
        more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        click.echo(
            f"data:/{name}: {paths[0]}{more} have the same content as erased files, and are kept. Erase them with --key digest=…"
        )
    for model in done.held["models"]:
        click.echo(f"{model} learned from the rows, and is unchanged. Retrain or retire it.")
    for bundle in done.held["bundles"]:
        click.echo(f"The bundle {bundle} holds a text of the subject, and is unchanged.")
    _show_others(done.held, would)
    for file in done.remaining:
        click.echo(f"{file} still holds a text of the subject.")
    if done.erasure:
        click.echo(f"Erasure {done.erasure}. To see the proof: mlopsfw audit show privacy/erasures")


def _show_others(held: Mapping[str, Any], would: str) -> None:
    for component in sorted(held.keys() - _SHOWN):
        counts = held[component]
        for name, count in counts.items() if isinstance(counts, dict) else [("", counts)]:
            click.echo(f"{component} {printable(str(name))}: {printable(str(count))} {would}erased")
