"""Have every monitor examine a window, store its report, and write its page for a browser.

A monitor decides what counts as drift; `mlopsfw.monitoring.alarms` decides which alerts follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.monitoring.alarms import Alarms
from mlopsfw.monitoring.events import WindowExamined
from mlopsfw.monitoring.window_bounds import check_length, opening

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts
    from mlopsfw.kernel.roles.monitoring import Monitor, Report, Window
    from mlopsfw.kernel.services import Services
    from mlopsfw.monitoring.baseline import Baselines
    from mlopsfw.monitoring.windows import Windows

_OF_LABELS = frozenset({"performance", "bias"})
_OF_WINDOW = ("endpoint", "model", "version", "start", "end")
_FACTS = ("monitor", "model", "version", "start", "end", "rows", "labelled", "labels_aside", "alarm", "summary", "metrics", "compared")  # fmt: skip


@dataclass(frozen=True)
class Examined:
    """A report, and where it is stored.

    Args:
        report: The monitor's report.
        digest: The digest of the report's blob.
        page: The page on this machine, or None.
    """

    report: Report
    digest: str
    page: Path | None


class Monitoring:
    """Examines the windows of a project with its monitors.

    Args:
        services: The kernel's services.
        monitors: Builds the selected monitors, by name. Called only when a window is examined.
        windows: Captured predictions by event time.
        baselines: The baselines to compare windows with.
        alerts: Raises the alerts.
    """

    def __init__(
        self,
        services: Services,
        monitors: Callable[[], Mapping[str, Monitor]],
        windows: Windows,
        baselines: Baselines,
        alerts: Alerts,
    ) -> None:
        self._services, self._monitors, self._windows, self._baselines = services, monitors, windows, baselines
        self._alarms = Alarms(services.ledger, alerts)

    def examine(
        self, endpoint: str, start: datetime, end: datetime, *, alert: bool = True, look: int = 1, looks: int = 1
    ) -> list[Examined]:
        """Examine the predictions with event time in [start, end), each model version separately.

        Args:
            endpoint: The endpoint.
            start: The first moment, with zone.
            end: The end of the window, exclusive.
            alert: Whether to raise an alert on an alarm, and resolve it when windows are calm. `Alerts.pump` delivers it.
            look: Which look at the window this is, from 1. Later looks judge only the labels.
            looks: How many looks there are at most.

        Raises:
            ConfigError: The project has no monitor.
        """
        monitors = self._monitors()
        if not monitors:
            raise ConfigError("the project has no monitor", key="monitor", hint='Add [[monitor]] with use = "drift".')
        return [
            self._examine(name, monitor, window, alert=alert)
            for window in self._windows.cut(endpoint, start, end, look=look, looks=looks)
            for name, monitor in monitors.items()
        ]

    def replay(
        self,
        endpoint: str,
        every: timedelta,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        zone: tzinfo = UTC,
    ) -> Iterator[Examined]:
        """Examine all captured predictions in windows of length `every`, without raising alerts. Skips windows without predictions.

        Args:
            endpoint: The endpoint.
            every: The length of a window. Days follow `zone` and may have 23 or 25 hours.
            start: The start of the first window; by default the day of the first prediction.
            end: The end of the last window; by default the last prediction.
            zone: The time zone.

        Raises:
            NotFound: Nothing was captured.
            UsageError: The length is 0.
        """
        check_length(every)
        first, last = self._windows.span(endpoint)
        begin, finish = start or opening(first, zone), end or last + timedelta(microseconds=1)
        for low, high in self._windows.occupied(endpoint, begin, finish, every=every, zone=zone):
            yield from self.examine(endpoint, low, high, alert=False)

    def _examine(self, name: str, monitor: Monitor, window: Window, *, alert: bool) -> Examined:
        baseline = self._baselines.of(window.model, window.version)
        report = _label_alarms_only(monitor.examine(window, baseline), window)
        place = {field: getattr(window, field) for field in _OF_WINDOW}
        report = msgspec.structs.replace(report, monitor=name, labels_aside=dict(window.labels_aside), **place)
        page = monitor.page(report, window, baseline)
        digest = self._services.blobs.put(msgspec.json.encode(report))
        page_digest = self._services.blobs.put(page.encode()) if page is not None else ""
        file = None if page is None else self._lay_out(report, page, window.look)
        examined = _examined(report, digest, page_digest, alerts=alert, look=window.look)
        self._services.ledger.stream(f"monitor/{window.endpoint}").append(examined)
        if alert:
            self._alarms.apply(report, window, digest, file)
        return Examined(report, digest, file)

    def _lay_out(self, report: Report, page: str, look: int) -> Path:
        """Write the page to a file for a browser. The stored copy is the blob."""
        day = report.start[:19].replace(":", "")
        name = f"{day}-v{report.version}-{report.monitor}{'-labels' if look > 1 else ''}.html"
        file = self._services.workspace.private_folder("reports", report.endpoint) / name
        file.write_text(page, encoding="utf-8")
        return file


def _label_alarms_only(report: Report, window: Window) -> Report:
    """Return the report. A later look alarms only about labels, since the first look has reported the drift."""
    late = any(finding.kind in _OF_LABELS and finding.severity != "info" for finding in report.findings)
    return report if window.look == 1 or late else msgspec.structs.replace(report, alarm=False)


def _examined(report: Report, digest: str, page: str, *, alerts: bool, look: int) -> WindowExamined:
    facts = {name: getattr(report, name) for name in _FACTS}
    return WindowExamined(
        **facts,
        report=digest,
        page=page,
        drifted=tuple(column["column"] for column in report.columns if column.get("drifted")),
        alerts=alerts,
        look=look,
    )
