"""The components of the project: which rooms contribute to what the kernel keeps for all of them."""

from __future__ import annotations

from mlopsfw.alerts.index_tables import INDEX as ALERTS
from mlopsfw.data.datasets.index_tables import INDEX as DATASETS
from mlopsfw.kernel.events.lease import LEASE_EVENTS
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.index.part import IndexPart
from mlopsfw.models.registry.index_tables import INDEX as MODELS
from mlopsfw.monitoring.index_tables import INDEX as WINDOWS
from mlopsfw.pipeline.run.index_tables import INDEX as RUNS
from mlopsfw.serving.index_tables import INDEX as ENDPOINTS

INDEX_PARTS: tuple[IndexPart, ...] = (RUNS, MODELS, DATASETS, ENDPOINTS, WINDOWS, ALERTS)
"""Whose tables are in the index."""


def event_types() -> EventTypes:
    """Return the event types of the project's components."""
    return EventTypes(LEASE_EVENTS)
