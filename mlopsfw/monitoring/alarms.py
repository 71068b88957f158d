"""When a report raises an alert, and when calm windows resolve it. `mlopsfw.alerts` delivers the alerts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.monitoring.past import examined_windows

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.kernel.roles.monitoring import Report, Window
    from mlopsfw.monitoring.events import WindowExamined

CALM_WINDOWS = 2
"""How many calm windows in a row resolve an alert: a single calm window may lie between two alarms."""
LONGEST_TITLE = 200
"""How long an alert's title may be; what is cut off stands in its text."""


class Alarms:
    """Turns reports into alerts.

    Args:
        ledger: Holds the windows examined so far.
        alerts: Raises and resolves the alerts.
    """

    def __init__(self, ledger: Ledger, alerts: Alerts) -> None:
        self._ledger, self._alerts = ledger, alerts

    def apply(self, report: Report, window: Window, digest: str, page: Path | None) -> None:
        """Raise an alert if the report is an alarm; resolve the open one if the last windows are calm.

        Args:
            report: The report on `window`, already in the ledger.
            window: The examined window.
            digest: The digest of the report's blob.
            page: The report's page on this machine, or None.
        """
        late = window.look > 1
        group = f"{report.endpoint}/{report.monitor}{'/labels' if late else ''}"
        if report.alarm:
            critical = any(finding.severity == "critical" for finding in report.findings)
            self._alerts.raise_(
                group,
                "critical" if critical else "warning",
                _title(report),
                _text(report, window),
                facts={
                    "report": digest, "version": report.version, "start": report.start, "end": report.end,
                    "subjects": [finding.subject for finding in report.findings if finding.severity != "info"],
                },
                links={"page": page.as_uri()} if page else {},
            )  # fmt: skip
        elif self._calm(report, late=late):
            self._alerts.resolve(
                group, f"The last {CALM_WINDOWS} windows had no alarm. The latest begins at {report.start}."
            )

    def _calm(self, report: Report, *, late: bool) -> bool:
        """Return whether the last windows are calm for every model version. A window counts once, however often it was examined.

        First looks (drift) and `late` looks (labels) count separately, like their alerts: a window without labels does not end an alarm
        about labels. Windows with too few rows do not count, nor do replays.
        """
        seen: dict[tuple[str, str], dict[int | None, bool]] = {}
        for window in examined_windows(self._ledger, report.endpoint):
            if window.monitor == report.monitor and _counts(window, late=late):
                seen.setdefault((window.end, window.start), {})[window.version] = window.alarm
        last = sorted(seen)[-CALM_WINDOWS:]
        return len(last) == CALM_WINDOWS and not any(alarm for place in last for alarm in seen[place].values())


def _counts(window: WindowExamined, *, late: bool) -> bool:
    watched, compared = window.alerts is not False, window.compared is not False
    return watched and compared and ((window.look or 1) > 1) == late


def _title(report: Report) -> str:
    whole = f"{report.endpoint}: {report.summary}"
    return whole if len(whole) <= LONGEST_TITLE else f"{whole[: LONGEST_TITLE - 1]}…"


def _text(report: Report, window: Window) -> str:
    subject = f"{report.model} version {report.version}, window {report.start} to {report.end}"
    lines = [f"{subject}: {report.rows:,} rows, {report.labelled:,} with labels."]
    if window.look > 1:
        lines.append(
            f"Labels arrived after the first look at this window. This is look {window.look} of at most {window.looks}."
        )
    lines += [f"- {count:,} labels were left out: {why}" for why, count in report.labels_aside.items()]
    if _title(report).endswith("…"):
        lines.append(report.summary)
    lines += [f"- {finding.message}" for finding in report.findings[:10]]
    again = f"mlopsfw monitor run {report.endpoint} --from {report.start} --to {report.end} --no-alert"
    lines.append(f"To see the whole report: {again}")
    return "\n".join(lines)
