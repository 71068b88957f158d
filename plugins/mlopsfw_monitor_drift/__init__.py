"""The monitor `drift`: finds inputs and outputs that drifted from the training data, and metrics that got worse where labels are known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Host

if TYPE_CHECKING:
    from mlopsfw_monitor_drift.monitor import DriftMonitor


Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class DriftConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[monitor.drift]` under `[[monitor]]`.

    Args:
        alpha: The level of one window: the chance of an alarm although nothing has changed, if its rows are exchangeable. If the window has
            labels, or a watch waits for them, all columns together get half of the level and the metrics the other half; otherwise the
            columns get all of it.
        threshold: The smallest effect that counts, as the share of rows that must have changed: Kolmogorov's D, or the total variation
            beyond its sampling error.
        thresholds: Other thresholds for single columns.
        group: Rows with the same value correlate: `day` (of event time), `none`, or a column. The test divides row counts by the design
            effect of these groups.
        design_effect: The smallest design effect to use, for windows too short to estimate it.
        zone: The time zone of the days, such as `America/New_York`.
        min_rows: A window with fewer rows is not compared, and its report says so.
        metric_drop: How much lower a metric between 0 and 1, such as AUC, may be than at evaluation.
        error_rise: How much worse any other metric, such as log loss or RMSE, may be than at evaluation, as a share of it.
    """

    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.01
    threshold: Share = 0.05
    thresholds: dict[str, Share] = {}
    group: str = "day"
    design_effect: Annotated[float, msgspec.Meta(ge=1)] = 1.0
    zone: str = "UTC"
    min_rows: Annotated[int, msgspec.Meta(ge=0)] = 200
    metric_drop: Annotated[float, msgspec.Meta(ge=0)] = 0.02
    error_rise: Annotated[float, msgspec.Meta(ge=0)] = 0.1


def _build(config: DriftConfig, _host: Host) -> DriftMonitor:
    from mlopsfw_monitor_drift.monitor import DriftMonitor

    return DriftMonitor(config)


@hookimpl
def mlopsfw_monitors() -> Iterable[Provider[DriftMonitor]]:
    """Offer the drift monitor."""
    yield Provider(
        "drift", DriftConfig, _build, "Drift of inputs and outputs, and worse metrics where labels are known"
    )
