"""Monitoring: cut captured predictions into windows, have every monitor examine them, keep the reports, raise and resolve alerts.

What counts as drift is a monitor's business; how alerts travel is `mlopsfw.alerts`'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.monitoring.baseline import baseline_of
from mlopsfw.monitoring.windows import occupied, opening, span, windows

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.monitoring import Report, Window
    from mlopsfw.project.facade import Project

__all__ = ["Examined", "examine", "replay"]

_OF_LABELS = frozenset({"performance", "bias"})

CALM_WINDOWS = 2
"""An alert is resolved once the last so many windows are calm: one calm window between two alarms is not the end of it."""


@dataclass(frozen=True)
class Examined:
    """A report, and where it is kept.

    Args:
        report: What the monitor says.
        digest: The report's blob.
        page: The page on this machine, or None.
    """

    report: Report
    digest: str
    page: Path | None


def examine(
    project: Project,
    endpoint: str,
    start: datetime,
    end: datetime,
    *,
    alert: bool = True,
    look: int = 1,
    looks: int = 1,
) -> list[Examined]:
    """Examine the predictions with event time in [start, end), each model version by itself.

    Args:
        project: The project.
        endpoint: The endpoint.
        start: The first moment, with zone.
        end: The first moment that is no longer in.
        alert: Whether an alarm raises an alert, and calm resolves one. Deliveries are `project.alerts.pump`'s.
        look: Which look at the window this is, from 1; from the second on only labels are judged.
        looks: How many there can be.

    Raises:
        ConfigError: The project has no monitor.
    """
    if not project.config.monitors:
        raise ConfigError("the project has no monitor", key="monitor", hint='Add [[monitor]] with use = "drift".')
    return [
        _examine(project, name, window, alert=alert)
        for window in windows(project, endpoint, start, end, look=look, looks=looks)
        for name in project.monitors
    ]


def replay(
    project: Project,
    endpoint: str,
    every: timedelta,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    zone: tzinfo = UTC,
) -> Iterator[Examined]:
    """Examine all that was captured, a window of length `every` after the other, raising no alert. Windows without a prediction are left out.

    Args:
        project: The project.
        endpoint: The endpoint.
        every: The length of a window; days are those of `zone`, and may have 23 or 25 hours.
        start: Where the first begins; else where the day of the first prediction does.
        end: Where the last must have ended; else at the last prediction.
        zone: The time zone.

    Raises:
        NotFound: Nothing was captured.
    """
    first, last = span(project, endpoint)
    begin, finish = start or opening(first, zone), end or last + timedelta(microseconds=1)
    for low, high in occupied(project, endpoint, begin, finish, every=every, zone=zone):
        yield from examine(project, endpoint, low, high, alert=False)


def _examine(project: Project, name: str, window: Window, *, alert: bool) -> Examined:
    monitor = project.monitors[name]
    baseline = baseline_of(project, window.model, window.version)
    report = _judged(monitor.examine(window, baseline), window)
    report = msgspec.structs.replace(report, labels_aside=dict(window.labels_aside))
    page = monitor.page(report, window, baseline)
    digest = project.blobs.put(msgspec.json.encode(report))
    page_digest = project.blobs.put(page.encode()) if page is not None else ""
    examined = Examined(report, digest, _lay_out(project, report, page, window.look))
    body = _body(report, digest, page_digest) | {"alerts": alert, "look": window.look}
    project.ledger.stream(f"monitor/{window.endpoint}").append(PlainRecord("window.examined", body))
    if alert:
        _tell(project, examined, window)
    return examined


def _judged(report: Report, window: Window) -> Report:
    """Return the report; of a later look it is an alarm only for what labels say, since drift was told of at the first."""
    late = any(finding.kind in _OF_LABELS and finding.severity != "info" for finding in report.findings)
    return report if window.look == 1 or late else msgspec.structs.replace(report, alarm=False)


def _lay_out(project: Project, report: Report, page: str | None, look: int) -> Path | None:
    """Write the page where a browser can open it; the blob is what is kept."""
    if page is None:
        return None
    day = report.start[:19].replace(":", "")
    name = f"{day}-v{report.version}-{report.monitor}{'-labels' if look > 1 else ''}.html"
    file = project.private_folder("reports", report.endpoint) / name
    file.write_text(page, encoding="utf-8")
    return file


def _body(report: Report, digest: str, page: str) -> dict[str, Any]:
    names = (
        "monitor",
        "model",
        "version",
        "start",
        "end",
        "rows",
        "labelled",
        "labels_aside",
        "alarm",
        "summary",
        "metrics",
    )
    return {name: getattr(report, name) for name in names} | {
        "report": digest,
        "page": page,
        "compared": bool(report.columns or report.metrics),
        "drifted": [column["column"] for column in report.columns if column.get("drifted")],
    }


def _tell(project: Project, examined: Examined, window: Window) -> None:
    report, late = examined.report, window.look > 1
    group = f"{report.endpoint}/{report.monitor}{'/labels' if late else ''}"
    if report.alarm:
        critical = any(finding.severity == "critical" for finding in report.findings)
        project.alerts.raise_(
            group,
            "critical" if critical else "warning",
            f"{report.endpoint}: {report.summary}"[:200],
            _text(report, window),
            facts={
                "report": examined.digest, "version": report.version, "start": report.start, "end": report.end,
                "subjects": [finding.subject for finding in report.findings if finding.severity != "info"],
            },
            links={"page": examined.page.as_uri()} if examined.page else {},
        )  # fmt: skip
    elif _calm(project, report, late=late):
        project.alerts.resolve(
            group, f"The last {CALM_WINDOWS} windows are without an alarm; this one begins {report.start}."
        )


def _text(report: Report, window: Window) -> str:
    lines = [f"Window {report.start} to {report.end}, {report.rows:,} rows, {report.labelled:,} with labels."]
    if window.look > 1:
        lines.append(
            f"Labels came after the window was first examined; this is look {window.look} of at most {window.looks}."
        )
    lines += [f"- {count:,} labels were set aside: {why}" for why, count in report.labels_aside.items()]
    lines += [f"- {finding.message}" for finding in report.findings[:10]]
    again = f"mlopsfw monitor run {report.endpoint} --from {report.start} --to {report.end} --no-alert"
    lines.append(f"To see it all: {again}")
    return "\n".join(lines)


def _calm(project: Project, report: Report, *, late: bool) -> bool:
    """Return whether the last windows, each counted once however often it was examined, are calm for every version.

    First looks (drift) and `late` ones (labels) are counted apart, as their alerts are: windows that have no labels yet do not end an alarm
    of labels. A window of too few rows says nothing, and a replay is not watching: neither counts.
    """
    seen: dict[tuple[str, str], dict[int, bool]] = {}
    for event in project.ledger.stream(f"monitor/{report.endpoint}").events():
        body = event.body
        if event.type == "window.examined" and body["monitor"] == report.monitor and _counts(body, late=late):
            seen.setdefault((body["end"], body["start"]), {})[body["version"]] = body["alarm"]
    last = sorted(seen)[-CALM_WINDOWS:]
    return len(last) == CALM_WINDOWS and not any(alarm for window in last for alarm in seen[window].values())


def _counts(body: Mapping[str, Any], *, late: bool) -> bool:
    return bool(body.get("alerts", True) and body.get("compared", True) and (body.get("look", 1) > 1) == late)
