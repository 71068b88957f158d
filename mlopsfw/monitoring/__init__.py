"""Monitoring: cut captured predictions into windows, have every monitor examine them, keep the reports, raise and resolve alerts."""

from __future__ import annotations

from mlopsfw.monitoring.examination import Examined, Monitoring, WatchingMonitor

__all__ = ["Examined", "Monitoring", "WatchingMonitor"]
