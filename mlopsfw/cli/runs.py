"""`runs`: list, show and compare runs, and read what a step printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project, pass_snapshot, printable, table

if TYPE_CHECKING:
    from mlopsfw.pipeline.run.runs import RunView
    from mlopsfw.project.facade import Project


@click.group()
def runs() -> None:
    """List, show and compare runs."""


@runs.command("list")
@click.option("--limit", default=20, show_default=True, help="How many runs to list.")
@json_option
@pass_snapshot
def list_runs(project: Project, *, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    views = project.runs.list(limit)
    if as_json:
        emit_json(project.people.show(views))
        return
    rows = [
        {
            "run": view.id,
            "pipeline": view.pipeline,
            "status": view.status,
            "started": view.started[:19],
            "seconds": round(view.seconds, 2),
            "ran": sum(step.status == "done" for step in view.steps.values()),
            "cached": sum(step.status == "cached" for step in view.steps.values()),
        }
        for view in views
    ]
    table(rows, empty="No runs yet.")


@runs.command()
@click.argument("run_id", metavar="RUN")
@json_option
@pass_project
def show(project: Project, run_id: str, *, as_json: bool) -> None:
    """Show the steps, results and metrics of RUN."""
    view = project.people.show(project.runs.get(run_id))
    if as_json:
        emit_json(
            {
                **{name: getattr(view, name) for name in view.__struct_fields__},
                "metrics": view.metrics,
                "notes": view.notes,
            }
        )
        return
    click.echo(
        f"run {view.id} of {view.pipeline}: {view.status}, {view.seconds:.2f} s, started {view.started[:19]} by {view.actor}"
    )
    code = view.facts.code
    if code.commit:
        click.echo(f"code {code.commit[:12]}{' with uncommitted changes' if code.diff else ''}")
    rows = [
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
    table(rows, ("step", "status", "engine", "output", "kind", "digest"), empty="No results yet.")
    for step in view.steps.values():
        if step.failure:
            click.echo(f"{step.name}: {step.failure}")
    if view.metrics:
        table([{"metric": name, "value": value} for name, value in view.metrics.items()])
    _tell_notes(view)


def _tell_notes(view: RunView) -> None:
    for note in view.notes:
        click.echo(f"! {printable(note)}")


@runs.command()
@click.argument("first")
@click.argument("second")
@json_option
@pass_snapshot
def diff(project: Project, first: str, second: str, *, as_json: bool) -> None:
    """Show what differs between two runs: configuration, metrics, outputs, code and packages."""
    sections = project.runs.diff(first, second)
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


@runs.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step")
@pass_project
def log(project: Project, run_id: str, step: str) -> None:
    """Print the output of STEP, and its traceback if it failed."""
    click.echo(project.runs.log(run_id, step), nl=False)


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
