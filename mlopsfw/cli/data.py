"""`data`: add files to datasets; list, show, compare and restore versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.check import check
from mlopsfw.cli.datadiff import diff
from mlopsfw.cli.dataref import dataset_name, dataset_version
from mlopsfw.cli.datatag import tag
from mlopsfw.cli.datavacuum import vacuum
from mlopsfw.cli.filesets import add_files, get, verify_files
from mlopsfw.cli.forget import forget
from mlopsfw.cli.output import emit_json, json_option, pass_project, pass_snapshot, printable, table
from mlopsfw.cli.progress import progress
from mlopsfw.cli.sources import csv_options, outside_options
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.roles.reading import MAX_RATIO

if TYPE_CHECKING:
    from pathlib import Path

    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.data.datasets.loading.change import Change, Mode
    from mlopsfw.data.intake.places import Query
    from mlopsfw.kernel.roles.host import Secrets
    from mlopsfw.kernel.roles.reading import ReadOptions
    from mlopsfw.kernel.roles.source import SourceOptions
    from mlopsfw.project.facade import Project


@click.group()
def data() -> None:
    """Add, list, compare and restore dataset versions."""


@data.command()
@click.argument("name")
@click.argument("files", nargs=-1)
@click.option("--append", is_flag=True, help="Append the rows to the present ones, instead of replacing these.")
@click.option("--upsert", is_flag=True, help="Replace present rows of the same --key, and add the others.")
@click.option("--key", multiple=True, metavar="COLUMN", help="A column that identifies rows. May be repeated.")
@click.option(
    "--incremental", default="", metavar="COLUMN", help="Add only rows above the greatest present value of this column."
)
@click.option(
    "--lookback",
    default=0.0,
    metavar="N",
    help="With --incremental: add also late rows up to N below it (seconds for times). Needs --key.",
)
@click.option(
    "--drift",
    type=click.Choice(["fail", "add", "ignore"]),
    default="fail",
    show_default=True,
    help="What to do about columns that differ from the dataset's.",
)
@click.option(
    "--max-bad",
    default=0.0,
    metavar="SHARE",
    help="The share of bad rows to allow, such as 0.01. They go to the quarantine.",
)
@click.option(
    "--max-ratio",
    default=MAX_RATIO,
    show_default=True,
    metavar="N",
    help="The greatest ratio of unpacked to packed size, for files that unpack to more than 128 MiB.",
)
@click.option(
    "--files", "as_files", is_flag=True, help="Store the files of a folder as they are: images, texts, sound."
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option(
    "--reference", metavar="URI", help="Register a table elsewhere (file, folder, Delta table) without copying it."
)
@click.option("--sql", metavar="URL", help="Read a database: sqlite:///file.db, or env:NAME for a postgresql:// URL.")
@click.option("--query", default="", help="With --sql: the query to read.")
@click.option("--table", "table_name", default="", help="With --sql: the table to read, with all its rows.")
@click.option("-m", "--message", default="", help="A reason, for other people.")
@csv_options
@outside_options
@click.option("--force", is_flag=True, help="Make a version even if the content has not changed.")
@json_option
@pass_project
def add(
    project: Project,
    name: str,
    files: tuple[str, ...],
    *,
    reference: str | None,
    sql: str | None,
    query: str,
    table_name: str,
    message: str,
    csv: ReadOptions,
    outside: SourceOptions,
    as_files: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
    **change: Any,
) -> None:
    """Add FILES to the dataset NAME as its next version.

    FILES are CSV, JSON lines, Parquet, Arrow IPC or Excel files, folders, quoted patterns such as '2013-*.csv', Delta or Iceberg
    tables, or URLs (https://, s3://, gs://, az://). Write env:NAME for a signed URL. In a folder, a subfolder column=value adds
    that column.
    """
    if bool(files) + bool(reference) + bool(sql) != 1:
        raise UsageError(
            "no source is given: name files, --sql or --reference", hint="mlopsfw data add flights flights.csv"
        )
    if as_files:
        kept = change["append"]
        version = add_files(project, name, files, message, append=kept, force=force, quiet=quiet)
    elif reference:
        version = project.datasets.reference(name, reference, message, csv=csv, force=force)
    else:
        with progress(quiet=quiet) as callback:
            version = project.datasets.add(
                name, _sources(project.secrets, files, sql, query, table_name), _change(**change), message,
                csv=csv, outside=outside, force=force, once=not force, progress=callback,
            )  # fmt: skip
    if as_json:
        emit_json(project.people.show(version))
        return
    _tell(version)
    if version.new and project.datasets.contract_file(name):
        click.echo(f"The dataset has a contract. To check it: mlopsfw data check {name}", err=True)


def _tell(version: DatasetVersion) -> None:
    size = f"{version.rows:,} rows, {len(version.columns)} columns, digest {version.digest[:12]}"
    if not version.new:
        click.echo(f"Nothing new: {version.ref} already has this content ({size}). --force makes a version anyway.")
        return
    click.echo(f"{version.ref}: {size}")
    if bad := version.intake.get("quarantined"):
        rows = "1 bad row was" if bad == 1 else f"{bad:,} bad rows were"
        click.echo(f"{rows} put in quarantine. To list them: mlopsfw data quarantine {version.name}", err=True)
    if ignored := version.intake.get("ignored"):
        click.echo(f"{len(ignored)} unknown columns were left out: {', '.join(ignored)}", err=True)


def _sources(
    secrets: Secrets, files: tuple[str, ...], sql: str | None, query: str, name: str
) -> list[Path | str | Query]:
    from mlopsfw.data.intake.places import Query, place_of

    return [Query(sql, query, name)] if sql else [place_of(file, secrets.is_reference) for file in files]


def _change(*, append: bool, upsert: bool, incremental: str, **rest: Any) -> Change:
    from mlopsfw.data.datasets.loading.change import Change

    if append + upsert + bool(incremental) > 1:
        raise UsageError("--append, --upsert and --incremental exclude each other", hint="Give only one of them.")
    mode: Mode = "append" if append else "upsert" if upsert else "incremental" if incremental else "replace"
    return Change(mode=mode, watermark=incremental, **rest)


@data.command()
@click.argument("name")
@click.option("--rows", default=20, show_default=True, type=click.IntRange(1), help="How many rows to show.")
@click.option(
    "--settle", metavar="VERSION|TAG", help="Record that somebody has dealt with the quarantined rows of this version."
)
@click.option("-m", "--message", default="", help="What was done about the rows, for other people.")
@json_option
@pass_project
def quarantine(project: Project, name: str, *, rows: int, settle: str | None, message: str, as_json: bool) -> None:
    """List the bad rows that `data add` put in quarantine, newest load first.

    `data vacuum` keeps a version until its quarantined rows are settled.
    """
    if settle is not None:
        _settle(project, dataset_version(project, dataset_name(name), settle), message, as_json=as_json)
        return
    found = project.datasets.quarantine(dataset_name(name))
    if as_json:
        emit_json(found)
        return
    shown = [
        {"time": bad.time[:19], "source": bad.source, "line": bad.line, "reason": bad.reason, "row": bad.raw[:60]}
        for bad in found[:rows]
    ]
    table(shown, empty="The quarantine is empty.")
    if len(found) > rows:
        click.echo(f"… and {len(found) - rows:,} more; --json lists all.")


def _settle(project: Project, version: DatasetVersion, message: str, *, as_json: bool) -> None:
    from mlopsfw.data.datasets.loading.quarantine_resolution import settle

    resolved = settle(project.datasets, version, message)
    if as_json:
        emit_json(project.people.show(resolved))
    else:
        click.echo(f"{resolved.ref}: {resolved.intake['quarantined']:,} bad rows settled")


@data.command("list")
@json_option
@pass_snapshot
def list_datasets(project: Project, *, as_json: bool) -> None:
    """List the datasets with their newest versions."""
    newest = project.people.show(project.datasets.newest())
    if as_json:
        emit_json(newest)
        return
    table([{"dataset": version.name, **_row(version)} for version in newest], empty="No datasets yet.")


@data.command()
@click.argument("name")
@json_option
@pass_snapshot
def log(project: Project, name: str, *, as_json: bool) -> None:
    """List the versions of a dataset, newest first."""
    versions = project.people.show(project.datasets.log(dataset_name(name)))
    if as_json:
        emit_json(versions)
        return
    table([_row(version) for version in versions])


def _row(version: DatasetVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "rows": version.rows,
        "columns": len(version.columns),
        "digest": version.digest[:12],
        "mode": f"vacuumed {version.vacuumed[:10]}" if version.vacuumed else version.mode,
        "time": version.time[:19],
        "by": version.actor,
        "tags": ", ".join(version.tags),
        "contract": version.verdict,
        "source": version.source,
        "message": version.message,
    }


@data.command()
@click.argument("ref", metavar="NAME[@VERSION]")
@click.option("--rows", default=5, show_default=True, type=click.IntRange(0, 10_000), help="How many rows to show.")
@json_option
@pass_project
def show(project: Project, ref: str, *, rows: int, as_json: bool) -> None:
    """Show the facts, columns and first rows of a version."""
    version = project.people.show(project.datasets.resolve(ref))
    head = _head(project, version, rows) if rows and not version.vacuumed else []
    if as_json:
        emit_json({"version": version, "head": head})
        return
    click.echo(f"{version.ref}: {version.rows:,} rows, digest {version.digest}")
    click.echo(f"{version.mode}, {version.time[:19]}, by {version.actor}{_why(version)}")
    if version.vacuumed:
        click.echo(f"vacuumed on {version.vacuumed[:19]}: its rows were removed")
    if version.erased_rows:
        click.echo(f"{version.erased_rows:,} rows were erased from this version on request")
    click.echo(f"tags: {', '.join(version.tags)}\n" if version.tags else "")
    table([{"column": name, "type": kind} for name, kind in version.columns.items()])
    if rows and not version.vacuumed:
        click.echo()
        table(head, list(version.columns), empty="No rows.")


def _head(project: Project, version: DatasetVersion, rows: int) -> list[dict[str, Any]]:
    """Return the first rows. Dates and times that Python's calendar lacks come as text."""
    from mlopsfw.data.tables.calendar import outside_calendar
    from mlopsfw.data.tables.columns import plain_rows

    head = project.datasets.scan(version).head(rows).collect()
    strays = [stray for name, kind in head.schema.items() if (stray := outside_calendar(name, kind)) is not None]
    if not strays or not any(head.select(stray.any() for stray in strays).row(0)):
        return head.to_dicts()
    return [row for batch in head.to_arrow().to_batches() for row in plain_rows(batch)]


def _why(version: DatasetVersion) -> str:
    words = (version.source and f"from {version.source}", version.message)
    return "".join(f", {printable(text)}" for text in words if text)


@data.command()
@click.argument("name")
@click.argument("version", metavar="VERSION|TAG")
@click.option("-m", "--message", default="", help="A reason, for other people.")
@json_option
@pass_project
def restore(project: Project, name: str, version: str, *, message: str, as_json: bool) -> None:
    """Make a new version with the content of an earlier one."""
    old = dataset_version(project, dataset_name(name), version)
    restored = project.datasets.restore(old.name, old.version, message)
    if as_json:
        emit_json(project.people.show(restored))
    elif restored.new:
        click.echo(f"{restored.ref} has the content of version {old.version}: {restored.rows:,} rows")
    else:
        click.echo(f"Nothing to do: {restored.ref} already has that content.")


@data.command()
@click.argument("ref", metavar="NAME[@VERSION]")
@json_option
@pass_project
def verify(project: Project, ref: str, *, as_json: bool) -> None:
    """Read a version, with every file of a file set, and compare it with its digest."""
    version = project.datasets.verify(ref)
    if version.index:
        verify_files(project, version)
    if as_json:
        emit_json({"ref": version.ref, "digest": version.digest, "ok": True})
    else:
        click.echo(f"{version.ref}: {version.rows:,} rows match their digest")


@data.command()
@click.argument("name")
@click.option(
    "--older",
    default=86_400.0,
    show_default=True,
    metavar="SECONDS",
    help="Keep files younger than this: a commit may still need them.",
)
@json_option
@pass_project
def tidy(project: Project, name: str, *, older: float, as_json: bool) -> None:
    """Repair a dataset after a crash: complete its Delta log, and remove files that no version has."""
    name = dataset_name(name)
    behind = project.datasets.behind(name)
    removed = project.datasets.tidy(name, older)
    if as_json:
        emit_json({"commits_written": behind, "files_removed": removed})
    else:
        click.echo(f"{behind} commits written to the Delta log, {len(removed)} files removed")


for verb in (check, diff, forget, get, tag, vacuum):
    data.add_command(verb)
