"""The built-in step `monitor`: examine a window of an endpoint's predictions, and raise what alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import DriftFound
from mlopsfw.pipeline.graph.step import BuiltinStep, StepContext


class MonitorParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.monitor]`.

    Args:
        endpoint: The endpoint.
        start: Where the window begins: RFC 3339, or a date (midnight in `zone`).
        end: Where it ends, itself not included.
        zone: The time zone of dates, such as `America/New_York`.
        check: Whether an alarm fails the step.
    """

    endpoint: str
    start: str
    end: str
    zone: str = "UTC"
    check: bool = False


def _run(context: StepContext, params: MonitorParams) -> Mapping[str, Any]:
    from mlopsfw.monitoring import examine
    from mlopsfw.monitoring.windows import moment, time_zone

    zone = time_zone(params.zone)
    examined = examine(context.project, params.endpoint, moment(params.start, zone), moment(params.end, zone))
    context.project.alerts.pump()
    for one in examined:
        context.log(f"{one.report.monitor}, version {one.report.version}: {one.report.summary}")
    alarms = [one.report.summary for one in examined if one.report.alarm]
    if alarms and params.check:
        raise DriftFound(
            f"step {context.step} found: {'; '.join(alarms)}", hint=f"mlopsfw monitor report {params.endpoint}"
        )
    return {"reports": [msgspec.to_builtins(one.report) for one in examined]}


STEP = BuiltinStep(
    name="monitor",
    run=_run,
    params=MonitorParams,
    variadic=True,
    outputs=("reports",),
    cacheable=False,
    plugins=("monitor",),
    summary="Examine a window of an endpoint's predictions",
)
