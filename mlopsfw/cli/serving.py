"""The verbs of serving: deploy, endpoints, serve, predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.number import Number
from mlopsfw.cli.output import (
    emit_json,
    json_option,
    keep_stdout_for_documents,
    open_project,
    pass_project,
    table,
)
from mlopsfw.cli.output_file import OutputFile, write_frames
from mlopsfw.cli.sources import csv_options, sheet_option
from mlopsfw.operations.installation import require_tables

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.deployer import EndpointStatus
    from mlopsfw.kernel.roles.reading import ReadOptions
    from mlopsfw.project.facade import Project

_ENDPOINTS = "endpoints:/"
_COLUMNS = ("endpoint", "state", "model", "version", "revision", "deployer", "url", "detail")

port_option = click.option("--port", type=click.IntRange(0, 65535), help="Listen on this port instead of a free one.")
deployer_option = click.option(
    "--deployer",
    default="",
    metavar="NAME",
    help="The deployer, by its name in mlopsfw.toml. By default the one that serves the endpoint, or the default one for a new endpoint.",
)


@click.command()
@click.argument("model")
@click.option("--name", help="The endpoint. By default the name of the model.")
@deployer_option
@port_option
@click.option("--reason", default="", help="A reason, for the ledger.")
@json_option
@click.pass_context
def deploy(
    context: click.Context,
    *,
    model: str,
    name: str | None,
    deployer: str,
    port: int | None,
    reason: str,
    as_json: bool,
) -> None:
    """Serve MODEL, such as models:/delay@3, and print the URL. A name alone means the champion.

    The previous version answers until the new one is ready, so that no request fails.
    """
    project = _listening(context, port, model, name, deployer)
    status = project.endpoints.deploy(model, name, deployer=deployer, reason=reason)
    if as_json:
        emit_json(status)
    else:
        click.echo(status.url or f"{_ENDPOINTS}{status.endpoint}")
        served = f"{status.endpoint} serves {status.model}@{status.version} (revision {status.revision})"
        click.echo(f"{served}, deployer {status.deployer}", err=True)


def _listening(context: click.Context, port: int | None, model: str, name: str | None, deployer: str = "") -> Project:
    """Open the project. Its deployer for this endpoint listens on `port`."""
    require_tables()
    project = open_project(context)
    if port is None:
        return project
    chosen = project.endpoints.deployer_of(name or project.registry.resolve(model).name, deployer)
    [(_, selection)] = project.config.providers(f"deployer.{chosen}")
    key = selection.options_key or f"{selection.key}.{selection.use}"
    return open_project(context, f"{key}.port={port}")


@click.group()
def endpoints() -> None:
    """List, show, stop and roll back endpoints."""


@endpoints.command(name="list")
@json_option
@pass_project
def list_(project: Project, *, as_json: bool) -> None:
    """List the endpoints and their states."""
    rows = [_state(project, name) for name in project.endpoints.list()]
    if as_json:
        emit_json(rows)
    else:
        table(rows, _COLUMNS, empty="No endpoints yet; `mlopsfw deploy NAME` creates one.")


def _state(project: Project, name: str) -> dict[str, Any]:
    """Return the row of an endpoint. A deployer that fails hides no other endpoint."""
    from mlopsfw.kernel.base.errors import text_of

    project.endpoints.history(name)  # a fault of the ledger's is none of a deployer's
    try:
        return _row(project.endpoints.status(name))
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises
        return {**dict.fromkeys(_COLUMNS), "endpoint": name, "state": "unknown", "detail": text_of(error)}


def _row(status: EndpointStatus) -> dict[str, Any]:
    return {name: getattr(status, name) for name in _COLUMNS}


@endpoints.command()
@click.argument("name")
@json_option
@pass_project
def status(project: Project, *, name: str, as_json: bool) -> None:
    """Show the state of endpoint NAME and the changes so far. Exit with 1 unless it is ready."""
    now, history = project.endpoints.status(name), project.people.show(project.endpoints.history(name))
    if as_json:
        emit_json({"status": now, "history": history})
    else:
        table([{**_row(now), **now.facts}])
        click.echo()
        shown = ("revision", "model", "version", "state", "deployer", "reason")
        table([{key: getattr(c, key) for key in shown} for c in history])
    if now.state != "ready":
        raise click.exceptions.Exit(1)


@endpoints.command()
@click.argument("name")
@pass_project
def stop(project: Project, *, name: str) -> None:
    """Stop the endpoint NAME after its current requests finish."""
    click.echo(f"{name}: {project.endpoints.stop(name).state}")


@endpoints.command()
@click.argument("name")
@pass_project
def start(project: Project, *, name: str) -> None:
    """Start the endpoint NAME again if it should be serving and is not, such as after a reboot."""
    require_tables()
    click.echo(f"{name}: {project.endpoints.supervise(name).state}")


@endpoints.command()
@click.argument("name")
@pass_project
def rollback(project: Project, *, name: str) -> None:
    """Serve the previous version at endpoint NAME again."""
    require_tables()
    now = project.endpoints.rollback(name)
    click.echo(f"{name} serves {now.model}@{now.version} (revision {now.revision}) at {now.url}")


@endpoints.command()
@click.argument("name")
@click.option("--lines", type=click.IntRange(1), default=50, show_default=True, help="How many lines to print.")
@pass_project
def logs(project: Project, *, name: str, lines: int) -> None:
    """Print the last lines of the log of endpoint NAME."""
    from collections import deque

    file = Path(project.endpoints.status(name).log)
    if file.is_file():
        with file.open(encoding="utf-8", errors="replace") as log:
            click.echo("".join(deque(log, maxlen=lines)), nl=False)


@endpoints.command()
@click.argument("name")
@pass_project
def unit(project: Project, *, name: str) -> None:
    """Print a systemd unit that starts the endpoint NAME again whenever it dies."""
    from mlopsfw.cli.unit import unit_of

    project.endpoints.history(name)  # raises `UnknownName` for an unknown name
    click.echo(unit_of(project.root, name), nl=False)


@click.command()
@click.argument("what", metavar="MODEL|endpoints:/NAME")
@click.option("--name", help="The endpoint. By default the name of the model.")
@deployer_option
@port_option
@click.pass_context
def serve(context: click.Context, *, what: str, name: str | None, deployer: str, port: int | None) -> None:
    """Serve MODEL in the foreground until Ctrl-C, then stop the endpoint.

    With endpoints:/NAME, serve that endpoint's current model under a process manager. The end of this process does not stop the
    endpoint: start the process again, and it serves the same model. `mlopsfw deploy` can change the model at any time.
    """
    named = what.removeprefix(_ENDPOINTS)
    if named != what:
        for option, value in (("--name", name), ("--deployer", deployer)):
            if value:
                raise click.UsageError(f"{what} names the endpoint, which keeps its deployer: leave {option} out")
        _listening(context, port, what, named).endpoints.run(named, _announce)
    else:
        _listening(context, port, what, name, deployer).endpoints.serve(what, name, _announce, deployer=deployer)


def _announce(now: EndpointStatus) -> None:
    click.echo(f"{now.url}  {now.model}@{now.version}  (Ctrl-C stops it)")


@click.command()
@click.argument("model", metavar="MODEL|endpoints:/NAME")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=OutputFile(),
    help="Write Parquet, CSV or JSON lines to this file instead of the terminal.",
)
@click.option(
    "--alpha",
    type=Number(0, 1, min_open=True, max_open=True),
    help="Add intervals or sets that miss the truth in at most this share of rows; 0.1 asks for 90%. The model must be calibrated.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Add what each input contributes to each answer: SHAP values of trees, sampled Shapley values of any other model.",
)
@csv_options
@sheet_option
@pass_project
def predict(
    project: Project,
    *,
    model: str,
    file: Path,
    out: Path | None,
    alpha: float | None,
    explain: bool,
    csv: ReadOptions,
    sheet: str,
) -> None:
    """Score FILE (CSV, JSON lines, Excel, Parquet or Arrow IPC) with MODEL. Add the model's outputs to its rows.

    With endpoints:/NAME, an endpoint of a batch deployer, the predictions are captured and each row gets a prediction_id. FILE
    may be larger than memory.

    The columns of a CSV file take their types from the model's signature: a text feature keeps 00501, and NA in a numeric
    feature is a missing value.
    """
    from mlopsfw.models.bundle.row_file import check_writable
    from mlopsfw.models.bundle.scoring import Extras

    check_writable({}, out)
    if out is None:
        keep_stdout_for_documents()
    endpoint, flat = model.removeprefix(_ENDPOINTS), out is not None and out.suffix.lower() == ".csv"
    if endpoint != model:
        frames = project.batch_scorer.score_file(endpoint, file, csv, sheet, flat=flat, extras=Extras(alpha, explain))
    else:
        check = lambda columns: check_writable(columns, out)  # noqa: E731
        score = project.scorer.score_file
        frames = iter([score(model, file, csv, sheet, check, flat=flat, extras=Extras(alpha, explain))])
    write_frames(frames, out)
