"""`monitor`: examine captured predictions: one window, all past windows, or each new window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project, printable, table
from mlopsfw.cli.output_file import OutputFile, write_file
from mlopsfw.pages.values import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mlopsfw.monitoring.examination import Examined
    from mlopsfw.project.facade import Project

_zone_option = click.option(
    "--zone",
    default="UTC",
    show_default=True,
    metavar="NAME",
    help="The time zone of days and dates, such as America/New_York.",
)
_COLUMNS = ["column", "type", "statistic", "value", "pvalue", "effect", "threshold", "drifted"]


@click.group()
def monitor() -> None:
    """Examine captured predictions for drift and for worse metrics.

    An alarm says that a window differs from the training data, or that its labels show a worse model. The level of the drift tests holds
    if rows are exchangeable. Rows with a time are not: rows of the same day correlate, and so do neighbouring days. Windows of one day
    therefore alarm on most days without a change. `monitor replay` shows how often windows of a length alarmed so far, and
    docs/monitoring.md has measured rates.
    """


@monitor.command()
@click.argument("endpoint")
@click.option(
    "--from",
    "start",
    metavar="TIME",
    help="Start of the window: RFC 3339 or a date. By default the first prediction.",
)
@click.option("--to", "end", metavar="TIME", help="End of the window, exclusive. By default the last prediction.")
@_zone_option
@click.option("--html", type=OutputFile(), help="Write a page with the report to this file.")
@click.option("--check", is_flag=True, help="Exit with 4 when there is an alarm.")
@click.option("--alert/--no-alert", default=True, help="Whether an alarm raises and delivers an alert.")
@json_option
@pass_project
def run(
    project: Project,
    endpoint: str,
    *,
    start: str | None,
    end: str | None,
    zone: str,
    html: Path | None,
    check: bool,
    alert: bool,
    as_json: bool,
) -> None:
    """Examine one window of ENDPOINT's predictions with every monitor of the project."""
    from mlopsfw.alerts import Pumped
    from mlopsfw.cli.alerts import say_failures
    from mlopsfw.kernel.base.errors import DataError, DriftFound, NotFound

    _warn_of_strays(project, endpoint)
    low, high = _bounds(project, endpoint, start, end, zone)
    try:
        examined = project.monitoring.examine(endpoint, low, high, alert=alert)
    finally:  # a monitor that failed keeps no alert of another one
        pumped = project.alerts.pump() if alert else Pumped()
        if pumped.reasons:
            click.echo("An alert was raised and could not be delivered:", err=True)
            say_failures(pumped, err=True)
    if not examined:
        raise NotFound(f"the endpoint {endpoint!r} has no prediction between {low} and {high}")
    _show(examined, as_json=as_json)
    pages = [each.page for each in examined if each.page is not None]
    if html is not None and pages:
        write_file(html, pages[-1].read_text(encoding="utf-8"))  # of several versions, the newest
    alarms = [each.report.summary for each in examined if each.report.alarm]
    if check and alarms:
        raise DriftFound(printable(f"{endpoint}: {'; '.join(alarms)}"))
    if check and not any(each.report.compared for each in examined):
        raise DataError(
            f"{endpoint}: nothing was compared between {low} and {high}",
            hint="Choose a longer window, or lower `min_rows` of the monitor.",
        )


def _warn_of_strays(project: Project, endpoint: str) -> None:
    from mlopsfw.monitoring.windows import aside_sentence

    if sentence := aside_sentence(project.windows.set_aside(endpoint)):
        click.echo(sentence, err=True)


def _bounds(
    project: Project, endpoint: str, start: str | None, end: str | None, zone: str
) -> tuple[datetime, datetime]:
    from datetime import timedelta

    from mlopsfw.kernel.base.errors import UsageError
    from mlopsfw.monitoring.window_bounds import moment, time_zone

    place = time_zone(zone)
    low, high = (None, None) if start and end else project.windows.span(endpoint)
    begins = moment(start, place) if start else low
    ends = moment(end, place) if end else high and high + timedelta(microseconds=1)
    if begins is None or ends is None or begins >= ends:
        raise UsageError(f"the window begins at {begins} and ends at {ends}", hint="Let --from come before --to.")
    return begins, ends


def _show(examined: Sequence[Examined], *, as_json: bool) -> None:
    if as_json:
        emit_json([{"report": each.report, "digest": each.digest, "page": each.page} for each in examined])
        return
    for each in examined:
        report = each.report
        calm = ("calm", "green") if report.compared else ("not compared", "yellow")
        verdict, colour = ("ALARM", "red") if report.alarm else calm
        click.secho(f"{verdict}: {printable(report.summary)}", fg=colour, bold=True)
        click.echo(
            f"{report.model} version {report.version}, {report.start} to {report.end}, {report.rows:,} rows, {report.labelled:,} with labels"
        )
        for why, count in report.labels_aside.items():
            click.echo(f"{count:,} labels were left out: {why}")
        if report.metrics:
            click.echo("  ".join(f"{name} {number_text(value)}" for name, value in report.metrics.items()))
        if report.columns:
            table([{**c, "drifted": "yes" if c["drifted"] else ""} for c in report.columns], _COLUMNS)
        for finding in report.findings:
            click.echo(f"- {printable(finding.message)}")
        if each.page:
            click.echo(f"Page: {each.page}")


@monitor.command()
@click.argument("endpoint")
@click.option(
    "--every", default="7d", show_default=True, metavar="SPAN", help="Length of a window, such as 6h, 7d or 1d 12h."
)
@click.option(
    "--from", "start", metavar="TIME", help="Start of the first window. By default the day of the first prediction."
)
@click.option("--to", "end", metavar="TIME", help="End of the last window. By default the last prediction.")
@_zone_option
@json_option
@pass_project
def replay(
    project: Project, endpoint: str, *, every: str, start: str | None, end: str | None, zone: str, as_json: bool
) -> None:
    """Examine all windows of ENDPOINT's predictions in order. Raise no alert."""
    from mlopsfw.kernel.base.spans import duration
    from mlopsfw.monitoring.window_bounds import moment, time_zone

    place = time_zone(zone)
    low, high = (moment(text, place) if text else None for text in (start, end))
    length = duration(every)
    _warn_of_strays(project, endpoint)
    replayed = project.monitoring.replay(endpoint, length, start=low, end=high, zone=place)
    rows = [_line(each) for each in replayed]
    if as_json:
        emit_json(rows)
    else:
        table(rows, ["start", "version", "rows", "labelled", "alarm", "summary"], empty="No window is complete.")


def _line(examined: Examined) -> dict[str, Any]:
    report = examined.report
    return {
        "start": report.start, "end": report.end, "version": report.version, "rows": report.rows, "labelled": report.labelled,
        "alarm": "ALARM" if report.alarm else "", "summary": report.summary, "metrics": report.metrics, "report": examined.digest,
    }  # fmt: skip


@monitor.command()
@click.argument("endpoint")
@click.option(
    "--every", default="1d", show_default=True, metavar="SPAN", help="Length of a window, such as 6h, 7d or 1d 12h."
)
@click.option(
    "--delay", default="5m", show_default=True, metavar="SPAN", help="How long to wait after the end of a window."
)
@_zone_option
@pass_project
def watch(project: Project, endpoint: str, *, every: str, delay: str, zone: str) -> None:
    """Examine each window of ENDPOINT after its end, and deliver alerts, until Ctrl-C.

    A window is one day long unless --every says otherwise. `monitor replay` shows how often windows of a length alarmed so far.

    The watcher examines a window again as labels arrive: when 10, 50 and 90% of its rows have labels, and 7 and 30 days after the first
    look if more labels have arrived. At a later look only the labels can raise an alarm. All looks share one level.

    A new watcher continues where the last one stopped. Several may run: one works, and the others wait for it to end. The first window is
    that of the first prediction, without the earliest 1% of rows, and at most 1,000 windows before the median row.
    """
    from mlopsfw.kernel.base.spans import duration
    from mlopsfw.monitoring.window_bounds import time_zone

    length, wait = duration(every), duration(delay)
    click.echo(f"Watching {endpoint} in windows of {every}. Press Ctrl-C to stop.")
    project.watcher.watch(
        endpoint,
        length,
        delay=wait,
        zone=time_zone(zone),
        report=lambda each: click.echo(f"{each.report.start}  {printable(each.report.summary)}"),
        say=click.echo,
    )


@monitor.command()
@click.argument("endpoint")
@json_option
@pass_project
def report(project: Project, endpoint: str, *, as_json: bool) -> None:
    """List the examined windows of ENDPOINT with their findings, newest last."""
    import msgspec

    from mlopsfw.monitoring.past import examined_windows

    rows = [
        {**msgspec.structs.asdict(each), "look": each.look or 1, "alarm": "ALARM" if each.alarm else ""}
        for each in examined_windows(project.ledger, endpoint)
    ]
    rows = project.people.show(rows)
    if as_json:
        emit_json(rows)
    else:
        table(
            rows,
            ["start", "end", "version", "look", "rows", "labelled", "alarm", "summary"],
            empty="No window has been examined yet.",
        )
