"""`drift`: compare two files of rows, column by column. Needs no project."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.number import Number
from mlopsfw.cli.output import emit_json, json_option_with, open_formats, open_monitor, printable, table
from mlopsfw.cli.output_file import OutputFile, write_file
from mlopsfw.cli.sources import csv_options, sheet_option

if TYPE_CHECKING:
    from mlopsfw.data.drift.job import DriftJob, Outcome
    from mlopsfw.kernel.roles.reading import ReadOptions

SPANS = (
    "If the files are two spans of time, this says that they differ, not that anything has changed: see docs/drift.md."
)

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

alpha_option = click.option(
    "--alpha",
    default=0.05,
    show_default=True,
    type=Number(0, 1, min_open=True),
    help="The level: the chance of a false alarm when nothing has changed, if rows are exchangeable.",
)
threshold_option = click.option(
    "--threshold",
    default=0.05,
    show_default=True,
    type=Number(0, 1),
    help="The smallest effect that counts, as a share of rows.",
)
html_option = click.option("--html", type=OutputFile(), help="Write a page with plots to this file.")


@click.command()
@click.argument("reference", type=_FILE)
@click.argument("current", type=_FILE)
@click.option("--columns", multiple=True, metavar="NAME", help="Compare only this column. May be repeated.")
@alpha_option
@threshold_option
@click.option(
    "--stream/--no-stream",
    default=None,
    help="Read block by block in constant memory. By default for files whose rows take more than 1 GiB.",
)
@click.option(
    "--preset",
    type=click.Choice(["evidently"]),
    help="Use the statistics and thresholds of Evidently 0.7, to compare before you migrate.",
)
@csv_options
@sheet_option
@click.option("--threads", type=click.IntRange(1), help="How many threads to use. By default one per processor.")
@html_option
@click.option("--check", is_flag=True, help="Exit with 4 when there is drift.")
@json_option_with("Print one JSON object: `drifted`, and `columns`, most drifted first.")
@click.pass_context
def drift(
    context: click.Context,
    /,
    *,
    csv: ReadOptions,
    threads: int | None,
    html: Path | None,
    check: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Show which columns of CURRENT have drifted from REFERENCE, most drifted first (Parquet, CSV, JSON lines, Arrow IPC, Excel).

    A column has drifted if its p-value is small (corrected over all columns) and its effect is noticeable.

    If rows are exchangeable (a canary and its control, random halves, two samples of the same time), a comparison without a change
    raises a false alarm with a chance of at most ALPHA. Rows of two spans of time are not exchangeable: they differ even without a
    change. An alarm then shows that they differ, in which columns and by how much. It cannot show that something has changed since.
    """
    _refuse_beside_preset(context)
    _use_threads(threads)
    from mlopsfw.data.drift.job import DriftJob, compare_files
    from mlopsfw.kernel.base.errors import DataError, DriftFound

    job = DriftJob(**asked, options=csv)
    outcome = compare_files(open_formats(context), job, _watched)
    if html is not None:
        write_page(html, outcome, job.reference.name, job.current.name, alpha=job.alpha, threshold=job.threshold)
    if as_json:
        _print_json(job, outcome)
    else:
        _print_table(job, outcome)
    if check and outcome.nothing:
        raise DataError(
            f"nothing was compared: {outcome.nothing}",
            hint="This is no verdict on drift. Name files that have rows and a common column.",
        )
    if check and outcome.alarm:
        raise DriftFound(f"{job.current} has drifted from {job.reference}: {', '.join(outcome.drifted)}")


def write_page(
    html: Path,
    outcome: Outcome,
    reference: str,
    current: str,
    changes: Sequence[str] = (),
    *,
    alpha: float,
    threshold: float,
) -> None:
    """Write the page of a comparison, as the `drift` monitor draws it."""
    from mlopsfw.monitoring.page import comparison_page

    monitor = open_monitor("drift", {"alpha": alpha, "threshold": threshold, "group": "none", "min_rows": 0})
    write_file(html, comparison_page(monitor, outcome, reference, current, changes))


def _use_threads(threads: int | None) -> None:
    """Limit the threads of the core and of Polars. Polars reads the limit when it is imported."""
    if threads is not None:
        os.environ.update(MLOPSFW_THREADS=str(threads), POLARS_MAX_THREADS=str(threads))


def _watched(name: str, blocks: Iterator[Any]) -> Iterator[Any]:
    """Show on the terminal how many rows of a stream are read."""
    rows, shown = 0, sys.stderr.isatty()
    for block in blocks:
        rows += len(block)
        if shown:
            click.echo(f"\r{name}: {rows:,} rows", err=True, nl=False)
        yield block
    if shown:
        click.echo("\r\033[K", err=True, nl=False)


def _print_json(job: DriftJob, outcome: Outcome) -> None:
    from mlopsfw.data.drift.table import column_row

    drifted = None if outcome.nothing else outcome.alarm
    said: dict[str, Any] = {"drifted": drifted, "columns": [column_row(each) for each in outcome.drifts]}
    said |= {"nothing_compared": outcome.nothing} if outcome.nothing else {}
    said |= {"left_out": dict(outcome.left_out)} if outcome.left_out else {}
    said |= {"notes": list(outcome.notes)} if outcome.notes else {}
    if outcome.stream is not None:
        said["streamed"] = {"error": outcome.error}
    if job.preset:
        from mlopsfw_core.evidently import DIFFERENCES

        said["preset"] = {"name": job.preset, "differences": DIFFERENCES}
    emit_json(said)


def _print_table(job: DriftJob, outcome: Outcome) -> None:
    from mlopsfw.data.drift.table import SHOWN, column_row

    drifts = outcome.drifts
    if outcome.nothing:
        click.echo(f"Nothing was compared: {outcome.nothing}.")
    else:
        table([{**column_row(each), "drifted": "yes" if each.drifted else ""} for each in drifts], SHOWN)
        before, after = outcome.rows
        click.echo(f"{len(outcome.drifted)} of {len(drifts)} columns drifted; {before:,} rows against {after:,}.")
    for name, reason in outcome.left_out.items():
        click.echo(f"Not compared: {printable(name)}: {reason}.")
    for note in outcome.notes:
        click.echo(f"Note: {printable(note)}")
    if outcome.alarm and not job.preset:
        click.echo(SPANS)
    if outcome.stream is not None:
        click.echo(
            f"Streamed: the true effect of a numeric column is at least the one shown, and at most {outcome.error:.2g} larger."
        )
    if job.preset:
        _print_preset(outcome)


def _print_preset(outcome: Outcome) -> None:
    from mlopsfw_core.evidently import DIFFERENCES, DRIFT_SHARE

    said = "at or above" if outcome.alarm else "below"
    click.echo(
        f"That is {said} the {DRIFT_SHARE:.0%} of columns at which Evidently calls a table drifted. Differences from Evidently:"
    )
    for difference in DIFFERENCES:
        click.echo(f"- {difference}")


def _refuse_beside_preset(context: click.Context) -> None:
    """Refuse our options beside a preset: it has its own thresholds, and the page describes ours."""
    from click.core import ParameterSource

    own = [
        name for name in ("alpha", "threshold", "html") if context.get_parameter_source(name) != ParameterSource.DEFAULT
    ]
    if context.params["preset"] and own:
        raise click.UsageError(f"--{own[0]} cannot be combined with --preset. Leave one of them out.")
