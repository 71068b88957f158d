"""The built-in step `alert`: tell somebody, through the alerters of the project."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.pipeline.graph.step import BuiltinStep, StepContext

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts


class AlertParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.alert]`.

    Args:
        title: One line.
        text: More, as plain text.
        severity: `info`, `warning` or `critical`.
        group: Repeated alerts of one group are one until it is resolved; empty makes one group of each run.
    """

    title: str
    text: str = ""
    severity: Literal["info", "warning", "critical"] = "info"
    group: str = ""


def _run(context: StepContext, params: AlertParams, *, alerts: Alerts) -> Mapping[str, Any]:
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
    return {"alert": {"id": alert.id, "group": alert.group}}


def step(alerts: Alerts) -> BuiltinStep:
    """Return the step, given what it raises alerts with."""
    return BuiltinStep(
        name="alert",
        run=partial(_run, alerts=alerts),
        params=AlertParams,
        variadic=True,
        outputs=("alert",),
        cacheable=False,
        plugins=("alerter",),
        summary="Tell somebody, through the alerters of the project",
    )
