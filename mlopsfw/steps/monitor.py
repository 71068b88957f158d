"""The built-in step `monitor`: examine a window of an endpoint's predictions, and raise alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import DataError, DriftFound
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.config.options import check_options
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.monitoring.examination import Monitoring


class MonitorParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.monitor]`.

    Args:
        endpoint: The endpoint.
        start: The start of the window: RFC 3339, or a date (midnight in `zone`).
        end: The end of the window, exclusive.
        zone: The time zone of dates, such as `America/New_York`.
        check: Whether the step fails on an alarm, and where nothing was compared.
    """

    endpoint: str
    start: str
    end: str
    zone: str = "UTC"
    check: bool = False

    def __post_init__(self) -> None:
        from mlopsfw.monitoring.window_bounds import moment, time_zone

        check_options(self, endpoint=partial(check_name, what="endpoint"), start=moment, end=moment, zone=time_zone)


def _run(params: MonitorParams, context: StepContext, *, monitoring: Monitoring, alerts: Alerts) -> Mapping[str, Any]:
    from mlopsfw.monitoring.window_bounds import moment, time_zone

    zone = time_zone(params.zone)
    try:
        examined = monitoring.examine(params.endpoint, moment(params.start, zone), moment(params.end, zone))
    finally:  # a monitor that failed keeps no alert of another one
        for name, reason in alerts.pump().reasons.items():
            context.log(f"the alerter {name} failed: {reason}")
    reports = [each.report for each in examined]
    for report in reports:
        context.log(f"{report.monitor}, version {report.version}: {report.summary}")
    alarms = [report.summary for report in reports if report.alarm]
    if alarms and params.check:
        raise DriftFound(
            f"step {context.step} found: {'; '.join(alarms)}", hint=f"mlopsfw monitor report {params.endpoint}"
        )
    if params.check and not any(report.compared for report in reports):
        raise DataError(
            f"step {context.step}: nothing was compared: {'; '.join(report.summary for report in reports) or 'there is no prediction'}",
            hint="Choose a longer window, or lower `min_rows` of the monitor.",
        )
    return {"reports": [msgspec.to_builtins(report) for report in reports]}


def build(params: MonitorParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        variadic=True,
        outputs=("reports",),
        cacheable=False,
        plugins=("monitor",),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `monitor`."""
    yield Provider("monitor", MonitorParams, build, "Examine a window of an endpoint's predictions")
