"""`reproduce`: run an earlier run again, as it was, and say where the results part."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.number import Number
from mlopsfw.cli.output import emit_json, json_option, pass_project, printable, table
from mlopsfw.cli.pipeline import debug_option
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.interrupts import interrupt
from mlopsfw.operations.installation import require_tables

if TYPE_CHECKING:
    from mlopsfw.pipeline.run.display import Display
    from mlopsfw.project.facade import Project
    from mlopsfw.project.reproduce import Reproduction

_WORDS = {
    "within": "within the tolerance",
    "taken": "taken as recorded",
    "skipped": "not run, since it acts outside",
}
_MOST = 12


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "--tolerance",
    default=1e-6,
    show_default=True,
    type=Number(0),
    help="How far apart two numbers may be, as a share of the larger of them, or of 1.",
)
@debug_option
@json_option
@pass_project
def reproduce(project: Project, run_id: str, *, tolerance: float, debug: bool, as_json: bool) -> int:
    """Run the steps of RUN again, as they were, and compare their results.

    Code (the commit, and what was not committed), configuration and versions of data are those of RUN. The code goes into a folder of
    its own; the cache is not used. Steps that deploy, register or load data do not run again.

    Exit codes: 0 the results are equal or within the tolerance, 1 they parted, 2 RUN cannot be reproduced, 130 interrupted.
    """
    require_tables()
    from mlopsfw.project.reproduce import reproduce as reproduced

    def show(again: Project) -> Display:
        from mlopsfw.pipeline.run.display import Display

        return Display(again.workspace, None if as_json else sys.stdout)

    signal.signal(signal.SIGTERM, interrupt)
    try:
        result = reproduced(project, run_id, tolerance, show, debug=debug)
    except DataError as error:  # 1 says that results parted, and none were compared
        raise UsageError(error.message, hint=error.hint) from error
    emit_json(result) if as_json else _tell(result)
    return result.exit_code


def _tell(result: Reproduction) -> None:
    if result.status == "interrupted":
        click.echo(f"Interrupted. Start it again: mlopsfw reproduce {result.origin}", err=True)
        return
    rows = [{"step": each.step, "result": _WORDS.get(each.verdict, each.verdict)} for each in result.steps]
    table(rows)
    for each in result.steps:
        for line in each.why:
            click.echo(f"{each.step}: {printable(line)}")
        for name, (then, now) in each.metrics.items():
            click.echo(f"{each.step}: metric {printable(name)}: {then} then, {now} now")
    _tell_packages(result.packages)
    if result.note:
        click.echo(f"! {printable(result.note)}")
    end = {"equal": "every result is equal", "within": "every result is equal or within the tolerance"}
    new = f", in run {result.run}" if result.run else ""
    click.echo(f"run {result.origin}{new}: {end.get(result.status, f'the results part at step {result.first}')}")


def _tell_packages(packages: dict[str, tuple[Any, Any]]) -> None:
    if not packages:
        return
    shown = [f"{name} {then or 'absent'} → {now or 'absent'}" for name, (then, now) in list(packages.items())[:_MOST]]
    more = f" and {len(packages) - _MOST} more" if len(packages) > _MOST else ""
    click.echo(f"installed now: {', '.join(shown)}{more}")
