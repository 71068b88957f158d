"""The monitor `drift`: have a model's inputs and outputs moved from what it was trained on, and has it grown worse where labels came?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Host

if TYPE_CHECKING:
    from mlopsfw_monitor_drift.monitor import DriftMonitor


class DriftConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[monitor.drift]` under `[[monitor]]`.

    Args:
        alpha: The level of one window: the chance that it alarms although nothing has changed, if its rows are exchangeable. Where labels came, and
            where a watch waits for them, half of it is the columns', all together, and half the metrics'; otherwise all of it is the columns'.
        threshold: The least effect that counts, as a share of rows that would have to change: Kolmogorov's D, or the total
            variation beyond what sampling puts there.
        thresholds: The same for single columns.
        group: What makes rows correlate: `day` (of event time), `none`, or a column. Row counts are divided by the design effect of the groups.
        design_effect: The least design effect, for windows too short to show it: row counts are divided by at least this.
        zone: The time zone whose days are meant, such as `America/New_York`.
        min_rows: Below this many rows nothing is compared, and the report says so.
        alarm: `any` column, a `share` of the columns, or columns that carry `importance` calls for an alarm.
        share: That share of the columns, or of the importance.
        metric_drop: By how much a metric such as AUC may be lower than at evaluation.
        error_rise: By what share an error such as log loss or RMSE may be higher.
    """

    alpha: float = 0.01
    threshold: float = 0.05
    thresholds: dict[str, float] = {}
    group: str = "day"
    design_effect: float = 1.0
    zone: str = "UTC"
    min_rows: int = 200
    alarm: Literal["any", "share", "importance"] = "any"
    share: float = 0.5
    metric_drop: float = 0.02
    error_rise: float = 0.1


def _build(config: DriftConfig, _host: Host) -> DriftMonitor:
    from mlopsfw_monitor_drift.monitor import DriftMonitor

    return DriftMonitor(config)


@hookimpl
def mlopsfw_monitors() -> Iterable[Provider[DriftMonitor]]:
    """Offer the drift monitor."""
    yield Provider(
        "drift", DriftConfig, _build, "Drift of inputs and outputs, and worse metrics where labels are known"
    )
