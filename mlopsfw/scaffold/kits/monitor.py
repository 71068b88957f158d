"""The monitor keeps the promises of its role."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mlopsfw.roles import Monitor, Window
from mlopsfw.scaffold.monitor import SampleConfig, SampleMonitor
from mlopsfw.testing.monitor import MonitorConformance


class TestSampleMonitor(MonitorConformance):
    """A calm window has every value, a changed one lacks most of them."""

    @pytest.fixture
    def monitor(self) -> Monitor:
        """Return the monitor with its defaults."""
        return SampleMonitor(SampleConfig())

    @pytest.fixture
    def calm(self) -> Window:
        """Return a window without nulls."""
        return window([1.0] * 100, [2.0] * 100)

    @pytest.fixture
    def changed(self) -> Window:
        """Return a window in which one column lacks half of its values, and the other more."""
        return window([1.0, None] * 50, [2.0] + [None] * 99)

    def test_the_finding_names_the_share_of_the_window_before(
        self, monitor: Monitor, calm: Window, changed: Window
    ) -> None:
        first, second = monitor.signals(changed, monitor.signals(calm, None).state).findings
        assert first.message == "hour lacks 99% of its values, after 0% in the window before."
        assert second.subject == "distance"


def window(distances: list[float | None], hours: list[float | None]) -> Window:
    """Return a window of these rows."""
    return Window(
        endpoint="orders",
        model="late",
        version=1,
        start="2026-01-01T00:00:00Z",
        end="2026-01-02T00:00:00Z",
        rows=pa.table({"distance": distances, "hour": hours}),
    )
