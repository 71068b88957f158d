"""The component `alerts`: its events, and its table in the index."""

from __future__ import annotations

from mlopsfw.alerts.events import EVENTS
from mlopsfw.alerts.index_tables import INDEX
from mlopsfw.kernel.component import Component


def component() -> Component:
    """Return the component."""
    return Component(name="alerts", events=EVENTS, index=INDEX)
