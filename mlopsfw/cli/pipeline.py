"""`run`, `resume`, `status`, `why`: the pipeline from the command line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project, pass_snapshot, table
from mlopsfw.kernel.base.interrupts import interrupt
from mlopsfw.operations.installation import require_tables

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.engine import Failure
    from mlopsfw.pipeline.run.display import Display
    from mlopsfw.pipeline.run.events import RunStarted
    from mlopsfw.pipeline.run.outcome import Outcome
    from mlopsfw.project.facade import Project

debug_option = click.option(
    "--debug", is_flag=True, help="Run the steps in this process, so that a debugger can stop in them."
)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return a callback that adds an option of a verb to the global options before the project is opened."""

    def keep(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        options = context.find_root().ensure_object(dict)
        if value:
            options[name] = (*options.get(name, ()), *value) if isinstance(value, tuple) else value

    return keep


def overriding(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Accept the global options `--env` and `--set` after the verb too."""
    shared: dict[str, Any] = {"expose_value": False, "is_eager": True}
    env = "Let the keys of [env.NAME] override the rest of mlopsfw.toml."
    override = "Override one key of mlopsfw.toml, such as trainer.torch.epochs=3. May be repeated."
    verb = click.option("--env", callback=_keep("env"), metavar="NAME", help=env, **shared)(verb)
    return click.option(
        "--set", callback=_keep("overrides"), multiple=True, metavar="KEY=VALUE", help=override, **shared
    )(verb)


@click.command()
@click.option(
    "--step",
    "steps",
    multiple=True,
    metavar="NAME",
    help="Run only this step and the steps that it needs. May be repeated.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Show which steps would run, and why; run nothing.")
@click.option("--force", is_flag=True, help="Run unchanged steps too (with --step: that step alone).")
@click.option("--certify", is_flag=True, help="Run cached steps too, and compare their results with the cache.")
@debug_option
@overriding
@json_option
@pass_project
def run(project: Project, *, only_plan: bool, as_json: bool, **options: Any) -> int:
    """Run the steps of the pipeline that have changed, and take the others from the cache.

    Exit codes: 0 done, 1 a step failed, 2 the configuration is wrong, 3 a gate refused, 5 a plugin failed, 130 interrupted.
    """
    if only_plan:
        return _show_plan(project, options["steps"], force=options["force"], as_json=as_json)
    require_tables()
    overrides = _root_options().get("overrides", ())
    signal.signal(signal.SIGTERM, interrupt)
    return _tell(
        project,
        project.pipeline.start(_display(project, as_json=as_json), overrides=overrides, **options),
        as_json=as_json,
    )


@click.command()
@click.argument("run_id", metavar="[RUN]", default="")
@debug_option
@overriding
@json_option
@pass_project
def resume(project: Project, run_id: str, *, debug: bool, as_json: bool) -> int:
    """Continue RUN, by default the newest run that failed, was interrupted or was lost.

    Steps that have finished do not run again.
    """
    require_tables()
    view = project.pipeline.latest(run_id)
    project = _as_it_was(project, view.facts)
    signal.signal(signal.SIGTERM, interrupt)
    return _tell(
        project, project.pipeline.resume(_display(project, as_json=as_json), view, debug=debug), as_json=as_json
    )


def _as_it_was(project: Project, started: RunStarted) -> Project:
    """Return the project with the overlay and overrides of the run, unless the command line gives others."""
    given = _root_options()
    if given.get("env") or given.get("overrides") or not (started.env or started.overrides):
        return project
    from mlopsfw.project.facade import Project

    again = Project.open(project.root, env=started.env or None, overrides=started.overrides)
    return click.get_current_context().with_resource(again)


@click.command()
@click.argument("run_id", metavar="[RUN]", default="latest")
@json_option
@pass_project
def status(project: Project, run_id: str, *, as_json: bool) -> None:
    """Show the steps of RUN (default: the newest run) and their states."""
    if run_id == "latest" and not project.runs.ids():
        emit_json(None) if as_json else click.echo("No runs yet.")
        return
    from mlopsfw.pipeline.graph.partnames import is_part

    view = project.people.show(project.runs.get(run_id))
    if as_json:
        emit_json(view)
        return
    click.echo(f"run {view.id}: {view.status}, started {view.started[:19]} by {view.actor}")
    if view.status == "lost":
        click.echo("Its process is gone. " + (f"To go on: mlopsfw resume {view.id}" if view.steps else ""))
    columns = ("name", "status", "attempt", "seconds", "engine", "node", "failure")
    steps = [step for step in view.steps.values() if not is_part(step.name) or step.status in ("running", "failed")]
    rows = [{**{c: getattr(step, c) or None for c in columns}, "name": step.name} for step in steps]
    table([{**row, "failure": str(row["failure"] or "").partition("\n")[0]} for row in rows], columns)


@click.command()
@click.argument("step")
@overriding
@json_option
@pass_snapshot
def why(project: Project, step: str, *, as_json: bool) -> None:
    """Say why STEP would run again, or why not."""
    (found,) = [item for item in project.pipeline.plan(steps=(step,)) if item.step == step]
    if as_json:
        emit_json(found)
        return
    click.echo(f"{step}: {found.verdict}")
    for reason in found.reasons:
        click.echo(f"  {reason}")


def _show_plan(project: Project, steps: tuple[str, ...], *, force: bool, as_json: bool) -> int:
    with project.index.pinned():
        items = project.pipeline.plan(steps=steps, force=force)
    if as_json:
        emit_json(items)
    else:
        rows = [
            {
                "step": item.step,
                "plan": item.action,
                "engine": item.engine,
                "why": "; ".join((item.verdict, *item.reasons[:3])),
            }
            for item in items
        ]
        table(rows)
    return 0


def _root_options() -> dict[str, Any]:
    options: dict[str, Any] = click.get_current_context().find_root().obj or {}
    return options


def _display(project: Project, *, as_json: bool) -> Display:
    from mlopsfw.pipeline.run.display import Display

    return Display(project.workspace, None if as_json else sys.stdout)


def _tell(project: Project, outcome: Outcome, *, as_json: bool) -> int:
    if as_json:
        from mlopsfw.pipeline.run.outcome import as_json as to_json

        emit_json(to_json(outcome))
        return outcome.exit_code
    if outcome.failure is not None:
        _tell_failure(outcome, outcome.failure)
    elif outcome.different:
        click.echo(
            f"not reproduced: {', '.join(outcome.different)}: the result depends on something that the cache key does not hold",
            err=True,
        )
    elif outcome.status == "interrupted":
        click.echo(f"Interrupted. To continue: mlopsfw resume {outcome.run}", err=True)
    else:
        click.echo(f"{outcome.status} in {outcome.seconds:.2f} s")
    del project
    return outcome.exit_code


def _tell_failure(outcome: Outcome, failure: Failure) -> None:
    shown = click.get_current_context().find_root().params.get("traceback")
    if shown and failure.traceback:
        click.echo(failure.traceback, err=True)
    first, *rest = failure.message.splitlines() or [""]
    where = f"step {outcome.failed!r}: {failure.type}: "
    if outcome.status == "refused":  # a gate says itself what it is
        where = "" if first.startswith(f"step {outcome.failed} ") else f"step {outcome.failed!r}: "
    click.echo(f"{click.style('error:', fg='red', bold=True)} {where}{first}", err=True)
    for line in rest:
        click.echo(f"  {line.strip()}", err=True)
    if outcome.status == "refused":
        return
    click.echo(f"  Its log: mlopsfw runs log {outcome.run} {outcome.failed}", err=True)
    click.echo("  After you correct it: mlopsfw resume", err=True)
