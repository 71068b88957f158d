"""`runs`: list, show and compare runs, and read what a step printed."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project, pass_snapshot, printable, table
from mlopsfw.cli.output_file import OutputFile
from mlopsfw.cli.run_artifact import get
from mlopsfw.cli.run_pages import follow, html_option, write_list_page, write_run_page
from mlopsfw.cli.run_parts import show_parts, without_parts
from mlopsfw.cli.run_trials import trials
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.pipeline.run.search import STATUSES

if TYPE_CHECKING:
    from mlopsfw.pipeline.run.runs import RunView
    from mlopsfw.project.facade import Project


_LISTED, _IN_PAGE = 20, 10_000


@click.group()
def runs() -> None:
    """List, show and compare runs."""


runs.add_command(get)
runs.add_command(trials)


@runs.command("list")
@click.option("--name", default="", help="List only runs of this name: a pipeline's, or the one given to start_run.")
@click.option("--status", type=click.Choice(STATUSES), help="List only runs of this status.")
@click.option(
    "--show",
    "shown",
    multiple=True,
    metavar="NAME",
    help="Also show this metric or parameter: metrics.auc, params.rate. May be repeated.",
)
@click.option(
    "--sort",
    default="",
    metavar="NAME",
    help="Sort by this column, smallest first; -NAME for largest first. Runs without it come last.",
)
@click.option("--where", default="", help="List only runs that meet this filter: 'loss<0.5 optimizer=adam night'.")
@click.option("--limit", type=click.IntRange(1), help="How many runs to list; by default 20, in a page 10,000.")
@click.option("--html", type=OutputFile(), help="Write a page to this file, whose reader can sort and filter the runs.")
@click.option(
    "--pages", is_flag=True, help="With --html: also write the page of each run, into a folder of the file's name."
)
@json_option
@pass_snapshot
def list_runs(
    project: Project, *, name: str, status: str | None, shown: tuple[str, ...], sort: str, where: str, limit: int | None, html: Path | None, pages: bool, as_json: bool
) -> None:  # fmt: skip
    """List runs, newest first.

    A metric of a step is called metrics.STEP.NAME, that of a script metrics.NAME, and so are parameters. With --sort, all runs are compared, and
    the first of them listed. --where takes words that a run holds, and conditions with <, <=, >, >=, = or != on a column, for which the
    end of its name is enough. Quotes hold blanks together.
    """
    if pages and html is None:
        raise UsageError("--pages needs the page of the list", hint="Add --html runs.html.")
    limit = limit or (_LISTED if html is None else _IN_PAGE)
    records = project.runs.search(name, status=status or "", limit=1 << 32 if sort or where else limit)
    known = dict.fromkeys(column for record in records for column in record)
    for column in (*shown, *([sort.removeprefix("-")] if sort else [])):
        if records and column not in known:
            raise UsageError(f"no run has {column!r}", hint=nearest(column, known))
    if where:
        from mlopsfw.pipeline.run.conditions import filtered

        records = filtered(records, where)
    if sort:
        records = _sorted(records, sort.removeprefix("-"), largest_first=sort.startswith("-"))
    records = records[:limit]
    if html is not None:
        write_list_page(project, html, records, shown, pages=pages)
    if as_json:
        emit_json(project.people.show(records))
    if as_json or html is not None:
        return
    rows = [_row(record, shown) for record in records]
    table(rows, empty="No runs yet." if not (name or status or where) else "No such runs.")


def _sorted(records: list[dict[str, Any]], column: str, *, largest_first: bool) -> list[dict[str, Any]]:
    """Sort records by one column. Numbers come before texts, whatever a column holds; not-a-number and what is missing come last."""

    def is_lacking(record: dict[str, Any]) -> bool:
        value = record.get(column)
        return value is None or (isinstance(value, float) and math.isnan(value))

    having = [record for record in records if not is_lacking(record)]
    lacking = [record for record in records if is_lacking(record)]

    def key(record: dict[str, Any]) -> tuple[bool, float, str]:
        value = record[column]
        number = isinstance(value, int | float)
        return (not number, float(value) if number else 0.0, "" if number else str(value))

    return sorted(having, key=key, reverse=largest_first) + lacking


def _row(record: dict[str, Any], shown: tuple[str, ...]) -> dict[str, Any]:
    facts = {
        "run": record["run"],
        "name": record["name"],
        "status": record["status"],
        "started": record["started"][:19],
        "seconds": round(record["seconds"] or 0.0, 2),
    }
    return facts | {name: record.get(name) for name in shown}


@runs.command()
@click.argument("run_id", metavar="RUN")
@html_option
@click.option("--follow", "following", is_flag=True, help="With --html: write the page anew until the run ends.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Show each part of a step that has more than ten, such as the trials of a search.",
)
@json_option
@pass_project
def show(project: Project, run_id: str, *, html: Path | None, following: bool, everything: bool, as_json: bool) -> None:
    """Show the steps, results and metrics of RUN. `--json` has all parts of steps."""
    if following:
        follow(project, html, project.runs.resolve(run_id))
    view = project.people.show(project.runs.get(run_id))
    if html is not None:
        write_run_page(project, html, view.id)
    if as_json:
        facts = {name: getattr(view, name) for name in view.__struct_fields__}
        emit_json({**facts, "metrics": view.metrics, "notes": view.notes})
        return
    _tell(view)
    short = view if everything else without_parts(view)
    table(
        _results(short),
        ("step", "status", "engine", "output", "kind", "digest"),
        empty=f"No results{' yet' * (view.status == 'running')}.",
    )
    if view.params:
        table([{"parameter": name, "value": value} for name, value in view.params.items()])
    for step in short.steps.values():
        if step.failure:
            click.echo(f"{step.name}: {printable(step.failure)}")
    if short.metrics:
        table([{"metric": name, "value": value} for name, value in short.metrics.items()])
    if not everything:
        show_parts(project, view)
    _tell_notes(view)


def _tell(view: RunView) -> None:
    click.echo(
        f"run {view.id} of {view.pipeline}: {view.status}, {view.seconds:.2f} s, started {view.started[:19]} by {view.actor}"
    )
    if view.facts.reproduces:
        compared = ", ".join(f"{step} {verdict}" for step, verdict in view.verdicts.items())
        click.echo(f"reproduces {view.facts.reproduces}: {compared or 'not compared'}")
    code = view.facts.code
    if code.commit:
        click.echo(f"code {code.commit[:12]}{' with uncommitted changes' if code.diff else ''}")


def _results(view: RunView) -> list[dict[str, Any]]:
    """Return a row for each output of a step, and for each artifact of the run itself."""
    rows: list[dict[str, Any]] = [
        {
            "step": step.name,
            "status": step.status,
            "engine": step.engine or None,
            "output": name,
            "kind": artifact.kind,
            "digest": artifact.digest[:12],
        }
        for step in view.steps.values()
        for name, artifact in step.outputs.items()
    ]
    rows += [
        {"step": "", "status": "", "engine": "", "output": name, "kind": artifact.kind, "digest": artifact.digest[:12]}
        for name, artifact in view.artifacts.items()
    ]
    return rows


def _tell_notes(view: RunView) -> None:
    for note in view.notes:
        click.echo(f"! {printable(note)}")


@runs.command()
@click.argument("first")
@click.argument("second")
@html_option
@json_option
@pass_snapshot
def diff(project: Project, first: str, second: str, *, html: Path | None, as_json: bool) -> None:
    """Show what differs between two runs: configuration, metrics, outputs, code and packages."""
    sections = project.runs.diff(first, second)
    if html is not None:
        write_run_page(project, html, first, second)
    if as_json:
        emit_json(sections)
        return
    rows = [
        {"what": section, "name": name, "first": _short(old), "second": _short(new)}
        for section, found in sections.items()
        for name, (old, new) in found.items()
    ]
    table(rows, empty="No difference.")


def _short(value: object) -> object:
    return value[:12] if isinstance(value, str) and len(value) == 64 else value


def on_terminal() -> bool:
    """Return whether somebody looks at standard output."""
    return sys.stdout.isatty()


@runs.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step")
@pass_project
def log(project: Project, run_id: str, step: str) -> None:
    """Print the output of STEP, and its traceback if it failed."""
    text = project.runs.log(run_id, step)
    if on_terminal():  # a file gets what the step printed
        text = "\n".join(printable(line.expandtabs()) for line in re.split(r"\r\n|\n|\r", text))
    click.echo(text, nl=False)


@runs.command()
@click.argument("run_id", metavar="RUN")
@click.option("--name", default="", help="Print only this metric.")
@json_option
@pass_snapshot
def metrics(project: Project, run_id: str, *, name: str, as_json: bool) -> None:
    """Print every number that RUN logged."""
    found = [metric for metric in project.runs.metrics(run_id) if not name or metric.name == name]
    rows = [{field: getattr(metric, field) for field in ("source", "name", "step", "value")} for metric in found]
    if as_json:
        emit_json(rows)
    else:
        table(rows)
        _tell_notes(project.runs.get(run_id))
