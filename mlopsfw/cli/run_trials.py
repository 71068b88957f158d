"""`runs trials`: the trials of a search."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click
import msgspec

from mlopsfw.cli.output import emit_json, json_option, pass_snapshot, table
from mlopsfw.cli.output_file import OutputFile, write_file
from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.pages.values import number_text

if TYPE_CHECKING:
    from pathlib import Path

    from mlopsfw.project.facade import Project
    from mlopsfw.training.search.trials import Trial


BEST = 10
"""Trials, and parts of a step, that are listed unless all are asked for."""


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step", required=False, default="")
@click.option("--all", "whole", is_flag=True, help=f"List all trials instead of the best {BEST}.")
@click.option("--html", type=OutputFile(), help="Write a page with the drawings of the search to this file.")
@json_option
@pass_snapshot
def trials(project: Project, run_id: str, step: str, *, whole: bool, html: Path | None, as_json: bool) -> None:
    """List the best trials of the search of STEP in RUN, best first. By default of the only step that searches. `--json` has all."""
    listed = _trials(project, run_id, step)
    if html is not None:
        _write_page(project, html, run_id, step, listed)
    if as_json:
        emit_json(msgspec.to_builtins(listed))
        return
    show_trials(listed, len(listed) if whole else BEST)


def trials_of_step(project: Project, run: str, step: str) -> list[Trial]:
    """Return the trials of a step of a run, best first; none where it does not search."""
    params = project.runs.config(run).get("steps", {}).get(step, {}).get("params", {})
    return _trials(project, run, step) if "tune" in params else []


def show_trials(listed: list[Trial], most: int) -> None:
    """Print the first trials, and how many there are of each status."""
    rows = [
        {
            "trial": trial.number,
            "status": trial.status,
            "value": trial.value,
            "seconds": round(trial.seconds, 2) if trial.status != "stopped" else None,  # nobody measured them
            "trainer": trial.params.get("trainer"),
            "params": ", ".join(_short(name, value) for name, value in trial.params.items() if name != "trainer"),
            "why": trial.why.partition("\n")[0],
        }
        for trial in listed[:most]
    ]
    columns = ("trial", "status", "value", "seconds", "trainer", "params")
    table(rows, (*columns, "why") if any(row["why"] for row in rows) else columns, empty="No trials yet.")
    if listed[most:]:
        counts = Counter(trial.status for trial in listed)
        words = ", ".join(f"{count} {status}" for status, count in counts.items())
        click.echo(f"{len(listed)} trials: {words}; `mlopsfw runs trials --all` lists them")


def _short(name: str, value: object) -> str:
    return f"{name.partition('.')[2] or name}={number_text(value) if isinstance(value, float) else value}"


def _trials(project: Project, run_id: str, name: str) -> list[Trial]:
    from mlopsfw.training.search.trials import trials_of

    run = project.runs.resolve(run_id)
    step, params = _searching(project, run, name)
    metric = _metric(project, params)
    listed = trials_of(project.runs.children(_maker(project, run, step), step), project.values.load, metric)
    sign = -1 if project.metrics[metric].higher_is_better else 1
    return sorted(listed, key=lambda trial: (trial.value is None, sign * (trial.value or 0.0)))


def _maker(project: Project, run: str, step: str) -> str:
    """Return the run that made the trials: of a step that came from the cache that of its result."""
    made = project.runs.get(run).steps.get(step)
    return run if made is None or made.from_run in ("", run) else _maker(project, made.from_run, step)


def _metric(project: Project, params: dict[str, Any]) -> str:
    return str(params["tune"].get("metric") or project.metrics.primary(params["task"]))


def _write_page(project: Project, html: Path, run_id: str, name: str, listed: list[Trial]) -> None:
    from mlopsfw.training.search.page import Search, search_page

    run = project.runs.resolve(run_id)
    step, params = _searching(project, run, name)
    metric, outputs = _metric(project, params), project.runs.get(run).steps[step].outputs
    search = Search(
        run=run,
        step=step,
        metric=metric,
        maximize=project.metrics[metric].higher_is_better,
        objectives=(metric, *params["tune"].get("also", ())),
        report=project.values.load(outputs["search"]) if "search" in outputs else {},
    )
    write_file(html, search_page(search, listed))


def _searching(project: Project, run: str, name: str) -> tuple[str, dict[str, Any]]:
    """Return the step that searches. Raise `UnknownName` where there is none of that name, or several."""
    configured = project.runs.config(run).get("steps", {})
    steps = {key: each["params"] for key, each in configured.items() if "tune" in each.get("params", {})}
    if name not in steps and (name or len(steps) != 1):
        hint = (
            f"Those that search: {', '.join(steps)}." if steps else "A step that trains searches by its table `tune`."
        )
        raise UnknownName(f"run {run} has no step {name!r} that searches" if name else "name the step", hint=hint)
    return (name, steps[name]) if name else next(iter(steps.items()))
