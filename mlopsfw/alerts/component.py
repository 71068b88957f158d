"""The component `alerts`: its events, its table in the index, and its question of doctor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlopsfw.alerts.checks import checks
from mlopsfw.alerts.events import EVENTS
from mlopsfw.alerts.index_tables import INDEX
from mlopsfw.kernel.component import Component

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts


def component(alerts: Callable[[], Alerts]) -> Component:
    """Return the component. `alerts` are made when doctor asks."""
    return Component(name="alerts", events=EVENTS, index=INDEX, checks=checks(alerts))
