"""The built-in step `alert`: send an alert through the alerters of the project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts
    from mlopsfw.kernel.roles.host import Host


class AlertParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.alert]`.

    Args:
        title: The title, one line.
        text: The details, as plain text.
        severity: `info`, `warning` or `critical`.
        group: Repeated alerts of a group count as one until it is resolved. By default each run is a group of its own.
    """

    title: str
    text: str = ""
    severity: Literal["info", "warning", "critical"] = "info"
    group: str = ""


def _run(params: AlertParams, context: StepContext, *, alerts: Alerts) -> Mapping[str, Any]:
    facts = {
        name: {"kind": value.kind, "digest": value.digest, "ref": value.ref} for name, value in context.inputs.items()
    }
    alert = alerts.raise_(
        params.group or f"run/{context.run}/{context.step}",
        params.severity,
        params.title,
        params.text,
        facts={"run": context.run, "inputs": facts},
    )
    done = alerts.pump()
    context.log(f"alert {alert.id}: {done.delivered} delivered, {done.failed} failed, {done.waiting} waiting")
    for name, reason in done.reasons.items():
        context.log(f"the alerter {name} failed: {reason}")
    return {"alert": {"id": alert.id, "group": alert.group}}


def build(params: AlertParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        variadic=True,
        outputs=("alert",),
        cacheable=False,
        plugins=("alerter",),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `alert`."""
    yield Provider("alert", AlertParams, build, "Send an alert through the alerters of the project")
