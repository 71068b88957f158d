"""The verbs of the store: `gc`, `doctor`, `index`, `export`, `import`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.mlflow_import import import_mlflow
from mlopsfw.cli.number import Number
from mlopsfw.cli.output import emit_json, json_option, pass_project, table
from mlopsfw.kernel.base.errors import MlopsfwError, NotFound, UsageError

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.storage import Storage
    from mlopsfw.operations.transfer import Transfer
    from mlopsfw.project.facade import Project

_DAY = 86_400.0
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # of one letter it is a drive
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command()
@click.option(
    "--grace",
    type=Number(min=0),
    default=7.0,
    show_default=True,
    metavar="DAYS",
    help="Keep unreferenced blobs that are younger than this.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted; delete nothing.")
@json_option
@pass_project
def gc(project: Project, *, grace: float, dry_run: bool, as_json: bool) -> None:
    """Delete unreferenced blobs, and finish operations of the ledger that a crash interrupted."""
    from mlopsfw.kernel.component import released
    from mlopsfw.operations.gc import collect
    from mlopsfw.operations.scratch import remove_abandoned

    unkept = released(project.components)
    done = collect(
        project.storage, project.ledger, released=unkept, grace=grace * _DAY, dry_run=dry_run, vault=project.vault
    )
    done.scratch = remove_abandoned(project.workspace, dry_run=dry_run)
    if as_json:
        emit_json(done)
        return
    verb = "would be deleted" if dry_run else "deleted"
    click.echo(f"{len(done.deleted)} of {done.blobs} blobs {verb}, {done.freed} of {done.size} bytes.")
    if done.young:
        click.echo(f"{done.young} more are unreferenced, but younger than {grace:g} days.")
    if done.scratch:
        click.echo(f"{len(done.scratch)} scratch folders of killed processes {verb}.")
    if done.tidied:
        click.echo(f"Finished interrupted operations in: {', '.join(done.tidied)}")


@click.command()
@click.option("--verify", is_flag=True, help="Read every blob and name those that do not match their digests.")
@click.option("--list", "listing", is_flag=True, help="List the checks; run none.")
@json_option
@pass_project
def doctor(project: Project, *, verify: bool, listing: bool, as_json: bool) -> None:
    """Check the project, its storage and this machine."""
    if listing:
        checks = project.doctor.checks()
        _show(
            [{"check": c.name, "asks": c.summary, "verify": "--verify" if c.thorough else ""} for c in checks],
            as_json,
        )
        return
    findings = list(project.doctor.examine(verify=verify))
    if as_json:
        emit_json(findings)
    else:
        for finding in findings:
            level = click.style(f"{finding.level:<7}", fg=_COLOURS.get(finding.level))
            click.echo(f"{level}  {finding.check}: {finding.message}")
            if finding.hint:
                click.echo(f"         {finding.hint}")
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise MlopsfwError(f"doctor found {errors} errors", hint="Follow the hints above.")


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:  # noqa: FBT001 - the flag as it was given
    if as_json:
        emit_json(rows)
    else:
        table(rows)


@click.group()
def index() -> None:
    """Rebuild and query the index, which is derived from the ledger."""


@index.command()
@pass_project
def rebuild(project: Project) -> None:
    """Delete the index and derive it from the ledger again."""
    if sys.stderr.isatty():
        project.index.progress = lambda done, total: click.echo(f"\r{done:,} of {total:,} streams", err=True, nl=False)
    click.echo(f"Derived from {project.index.rebuild()} events.")


@index.command("status")
@json_option
@pass_project
def status(project: Project, *, as_json: bool) -> None:
    """Update the index and show the number of rows in each table."""
    _show([{"table": name, "rows": rows} for name, rows in project.index.counts().items()], as_json)


@index.command("list")
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows to list.")
@json_option
@pass_project
def list_(project: Project, *, name: str | None, limit: int, as_json: bool) -> None:
    """List the listings that the parts of the project contribute, or the rows of the listing NAME."""
    if name is None:
        listings = project.index.listings.values()
        _show([{"listing": listing.name, "rows": listing.summary} for listing in listings], as_json)
        return
    _show(project.people.show(project.index.listing(name, limit)), as_json)


@index.command()
@click.argument("sql")
@click.option(
    "--timeout",
    type=Number(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that the statement may take.",
)
@json_option
@pass_project
def query(project: Project, sql: str, *, timeout: float, as_json: bool) -> None:
    """Run one SELECT statement on the tables of the index."""
    _show(project.people.show(project.index.query(sql, seconds=timeout)), as_json)


def _place(verb: Any) -> Any:
    """Add the options of a storage to copy to or from."""
    option = click.option(
        "--option",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        help="An option of that storage, such as aws_endpoint=https://…; secrets as env:NAME or file:/path. May be repeated.",
    )
    heal = click.option("--heal", is_flag=True, help="Read every blob of the copy, and replace those that are damaged.")
    return click.argument("url")(option(heal(verb)))


@click.command()
@_place
@json_option
@pass_project
def export(project: Project, url: str, *, options: tuple[str, ...], heal: bool, as_json: bool) -> None:
    """Copy the whole project (ledger, blobs, tables) to URL, a folder or a bucket such as s3://bucket/prefix."""
    from mlopsfw.operations.transfer import transfer

    target = _open(project, url, options)
    _report(transfer(project.storage, target, heal=heal, own=True, tables=project.table_access), as_json)


class _ImportGroup(click.Group):
    """Takes what is no verb of its own as the place of a project: `mlopsfw import URL` is `mlopsfw import project URL`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments."""
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named or not args else ["project", *args])


@click.group("import", cls=_ImportGroup)
def import_() -> None:
    """Copy a project from a folder or bucket into this one, or runs and models from MLflow.

    `mlopsfw import URL` is short for `mlopsfw import project URL`.
    """


import_.add_command(import_mlflow)


@import_.command("project")
@_place
@json_option
@pass_project
def import_project(project: Project, url: str, *, options: tuple[str, ...], heal: bool, as_json: bool) -> None:
    """Copy a whole project from URL into this one. URL is a copy by `mlopsfw export`, or the storage of another project."""
    from mlopsfw.kernel.ledger import layout
    from mlopsfw.operations.transfer import transfer

    source = _open(project, url, options)
    if next(iter(source.list(layout.ROOT)), None) is None:
        raise NotFound(
            f"{source.describe()} holds no project", hint="Name the URL that you passed to `mlopsfw export`."
        )
    _report(transfer(source, project.storage, heal=heal, tables=project.table_access), as_json)


def _open(project: Project, url: str, options: tuple[str, ...]) -> Storage:
    from mlopsfw.kernel.config.model import Selection
    from mlopsfw.project.config.plaintext_secrets import plaintext_secrets

    pairs = [option.partition("=") for option in options]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise UsageError(f"--option {wrong[0]!r} is not KEY=VALUE", hint="Write --option aws_endpoint=https://….")
    chosen = {
        "url": url if _SCHEME.match(url) else Path(url).absolute().as_uri(),
        "options": {key: value for key, _, value in pairs},
    }
    for key, problem, hint in plaintext_secrets(chosen, project.secret_stores):
        raise UsageError(f"{key.replace('options.', '--option ')} {problem}", hint=hint)
    selection = Selection(use="object", options=chosen, key="storage")
    storage: Storage = project.plugins.build("storage", selection, project.config, project.host("storage.object"))
    return storage


def _report(done: Transfer, as_json: bool) -> None:  # noqa: FBT001 - the flag as it was given
    if as_json:
        emit_json(done)
        return
    click.echo(f"{done.copied} objects copied ({done.size} bytes); existing objects were kept.")
    click.echo(
        f"The ledger of the copy holds {done.events} events in {done.streams} streams, and its hash chains are intact."
    )
