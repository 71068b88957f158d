"""Alerts. `catalog` raises and resolves them, `delivery` brings them to the alerters, `state` is what the stream `alerts` says of them."""

from __future__ import annotations

from mlopsfw.alerts.catalog import Alerts
from mlopsfw.alerts.delivery import Pumped, Waiting
from mlopsfw.alerts.state import AlertState

__all__ = ["AlertState", "Alerts", "Pumped", "Waiting"]
