"""Have every monitor examine a window, store its report, and write its page for a browser.

A monitor gives signals, `mlopsfw.monitoring.decision` says whether they are an alarm, and `mlopsfw.monitoring.alarms` which alerts follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.base.errors import ConfigError, text_of
from mlopsfw.monitoring.alarms import Alarms
from mlopsfw.monitoring.events import WindowExamined
from mlopsfw.monitoring.past import PastWindows
from mlopsfw.monitoring.reporting import examine
from mlopsfw.monitoring.states import MonitorStates
from mlopsfw.monitoring.window_bounds import check_length, opening

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts
    from mlopsfw.kernel.roles.monitoring import Monitor, Report, Window
    from mlopsfw.kernel.services import Services
    from mlopsfw.monitoring.baseline import Baselines
    from mlopsfw.monitoring.settings import MonitorSettings
    from mlopsfw.monitoring.windows import Windows

_FACTS = ("monitor", "model", "version", "start", "end", "rows", "labelled", "labels_aside", "alarm", "summary", "metrics", "compared")  # fmt: skip


@dataclass(frozen=True)
class WatchingMonitor:
    """A monitor, and what its table in the configuration says besides its options."""

    monitor: Monitor
    settings: MonitorSettings


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
        monitors: Callable[[], Mapping[str, WatchingMonitor]],
        windows: Windows,
        baselines: Baselines,
        alerts: Alerts,
    ) -> None:
        self._services, self._monitors, self._windows, self._baselines = services, monitors, windows, baselines
        self._alarms = Alarms(services.ledger, alerts)
        self._states = MonitorStates(services.ledger, services.blobs)
        self._past = PastWindows(services.ledger, services.blobs)

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

        A monitor that fails keeps no other one from its report and its alert: the error is raised once all have examined.

        Raises:
            ConfigError: The project has no monitor, or none that examines these predictions.
            Exception: The error of a monitor. Its notes name further monitors that failed.
        """
        monitors = self._monitors()
        if not monitors:
            raise ConfigError("the project has no monitor", key="monitor", hint='Add [[monitor]] with use = "drift".')
        windows = self._windows.cut(endpoint, start, end, look=look, looks=looks)
        asked = [
            (name, each, window)
            for window in windows
            for name, each in monitors.items()
            if each.settings.concern(window.model, window.endpoint)
        ]
        if windows and not asked:
            raise ConfigError(
                f"no monitor examines {windows[0].model} at the endpoint {endpoint}",
                key="monitor",
                hint="Name the model in `models`, and the endpoint in `endpoints`, of a [[monitor]], or leave both out.",
            )
        return self._examine_all(asked, alert=alert)

    def _examine_all(self, asked: Iterable[tuple[str, WatchingMonitor, Window]], *, alert: bool) -> list[Examined]:
        """Have each monitor examine its window; then raise the first error, if there was one."""
        examined, failures = [], list[tuple[str, Exception]]()
        for name, each, window in asked:
            try:
                examined.append(self._examine(name, each, window, alert=alert))
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append((name, error))
        if failures:
            (failed, first), *others = failures
            others = [(name, error) for name, error in others if name != failed]
            for note in dict.fromkeys(f"The monitor {name} failed too: {text_of(other)}" for name, other in others):
                first.add_note(note)
            raise first
        return examined

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

    def _examine(self, name: str, watching: WatchingMonitor, window: Window, *, alert: bool) -> Examined:
        settings, blobs = watching.settings, self._services.blobs
        baseline = self._baselines.of(window.model, window.version, settings.reference)
        window = msgspec.structs.replace(window, baseline=baseline)
        before = self._states.before(name, window)
        reasons = self._baselines.reasons.of(window, settings) if settings.explain else None
        report, state = examine(name, watching.monitor, window, settings, self._states.load(before), reasons=reasons)
        past = self._past.before(name, window)
        page = watching.monitor.page(report, msgspec.structs.replace(window, past=past))
        digest = blobs.put(msgspec.json.encode(report))
        page_digest = blobs.put(page.encode()) if page is not None else ""
        file = None if page is None else self._lay_out(report, page, window.look)
        states = {"state": self._states.store(state), "state_before": before}
        examined = _examined(report, digest, page_digest, alerts=alert, look=window.look, **states)
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


def _examined(
    report: Report, digest: str, page: str, *, alerts: bool, look: int, state: str, state_before: str
) -> WindowExamined:
    facts = {name: getattr(report, name) for name in _FACTS}
    return WindowExamined(
        **facts,
        report=digest,
        page=page,
        drifted=tuple(column["column"] for column in report.columns if column.get("drifted")),
        alerts=alerts,
        look=look,
        state=state,
        state_before=state_before,
    )
