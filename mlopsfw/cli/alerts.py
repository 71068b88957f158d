"""`alerts`: list, acknowledge, silence and deliver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project, pass_snapshot, printable, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlopsfw.alerts import AlertState, Pumped, Waiting
    from mlopsfw.project.facade import Project


@click.group()
def alerts() -> None:
    """List, acknowledge and silence alerts."""


@alerts.command("list")
@click.option("--open", "only_open", is_flag=True, help="List only alerts that are not resolved.")
@json_option
@pass_snapshot
def list_(project: Project, *, only_open: bool, as_json: bool) -> None:
    """List alerts, newest first, with their deliveries."""
    outbox = project.alerts.outbox()
    waiting: dict[str, list[Waiting]] = {}
    for each in project.alerts.waiting(outbox):
        waiting.setdefault(each.alert.id, []).append(each)
    states = [state for state in reversed(outbox.alerts.values()) if state.open or not only_open]
    rows = project.people.show([_row(state, waiting.get(state.alert.id, ())) for state in states])
    if as_json:
        emit_json(rows)
    else:
        for row in rows:
            row["id"] = row["id"][:8]
        table(
            rows,
            ["id", "time", "severity", "state", "title", "repeats", "rises", "delivered", "waiting"],
            empty="No alerts.",
        )


def _row(state: AlertState, waiting: Iterable[Waiting]) -> dict[str, Any]:
    alert = state.alert
    due = {(w.alert.state, w.alerter): w.delivery.reason or "not tried yet" for w in waiting}
    failed = {key: delivery.reason for key, delivery in state.deliveries.items() if not delivery.delivered}
    return {
        "id": alert.id,
        "time": alert.time,
        "group": alert.group,
        "severity": alert.severity,
        "state": "firing" if state.open else "resolved",
        "title": alert.title,
        "text": alert.text,
        "repeats": state.repeats,
        "rises": alert.rises,
        "acknowledged": state.acknowledged,
        "delivered": [f"{name} ({notice})" for (notice, name), d in state.deliveries.items() if d.delivered],
        "waiting": [f"{name} ({notice}): {reason}" for (notice, name), reason in (failed | due).items()],
        "receipts": {name: receipt.link or receipt.id for name, receipt in state.receipts.items()},
        "facts": alert.facts,
        "links": alert.links,
    }


@alerts.command()
@click.argument("alert_id", metavar="ID")
@pass_project
def ack(project: Project, alert_id: str) -> None:
    """Record that you take care of the alert ID (its first characters are enough)."""
    project.alerts.acknowledge(alert_id)
    click.echo(f"Acknowledged {alert_id}.")


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    from mlopsfw.kernel.base.spans import duration

    return duration(value).total_seconds()


@alerts.command()
@click.argument("group")
@click.option(
    "--for",
    "seconds",
    default="1h",
    show_default=True,
    callback=_seconds,
    help="How long, such as 30m, 4h or 2d; 0s ends the silence.",
)
@pass_project
def silence(project: Project, group: str, seconds: float) -> None:
    """Hold back the alerts of GROUP, and of every group below it, until the silence ends."""
    from mlopsfw.kernel.base.clock import rfc3339

    click.echo(f"{group} is silent until {rfc3339(project.alerts.silence(group, seconds))}.")


@alerts.command()
@click.argument("group")
@pass_project
def resolve(project: Project, group: str) -> None:
    """Resolve the open alert of GROUP."""
    from mlopsfw.kernel.base.errors import UnknownName
    from mlopsfw.kernel.base.ids import nearest

    if project.alerts.resolve(group) is None:
        known = {state.alert.group for state in project.alerts.outbox().alerts.values() if state.open}
        raise UnknownName(f"no alert of group {group!r} is open", hint=nearest(group, known))
    click.echo(f"{group} is resolved.")


@alerts.command()
@json_option
@pass_project
def pump(project: Project, *, as_json: bool) -> None:
    """Try every delivery that is due. Run this from a scheduler if no `monitor watch` is running."""
    done = project.alerts.pump()
    if as_json:
        emit_json(
            {"delivered": done.delivered, "failed": done.failed, "waiting": done.waiting, "reasons": dict(done.reasons)}
        )
    else:
        click.echo(f"{done.delivered} delivered, {done.failed} failed, {done.waiting} waiting.")
        say_failures(done)


def say_failures(done: Pumped, *, err: bool = False) -> None:
    """Print which alerters failed and why, and what to do."""
    for name, reason in done.reasons.items():
        click.echo(f"  {name}: {printable(reason)}", err=err)
    if done.reasons:
        click.echo("Nothing is lost: correct the cause, and run `mlopsfw alerts pump` again.", err=err)
