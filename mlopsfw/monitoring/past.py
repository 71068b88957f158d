"""The windows that a monitor examined before one, for the trend on its page."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.base.errors import MlopsfwError
from mlopsfw.kernel.roles.monitoring import Report
from mlopsfw.monitoring.events import WindowExamined

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.kernel.roles.monitoring import Window
    from mlopsfw.kernel.store.blobs import BlobStore

MOST = 30
"""How many earlier windows a page shows."""

_FACTS = tuple(name for name in Report.__struct_fields__ if name in WindowExamined.__struct_fields__)


def examined_windows(ledger: Ledger, endpoint: str) -> list[WindowExamined]:
    """Return every window of an endpoint that was examined, in the order of the ledger."""
    events = ledger.stream(f"monitor/{endpoint}").events()
    return [WindowExamined.of(event) for event in events if event.type == WindowExamined.type]


class PastWindows:
    """The reports of earlier windows.

    Args:
        ledger: Holds the windows examined so far.
        blobs: Holds their reports.
    """

    def __init__(self, ledger: Ledger, blobs: BlobStore) -> None:
        self._ledger, self._blobs = ledger, blobs
        self._kept: dict[str, Report] = {}

    def before(self, monitor: str, window: Window) -> tuple[Report, ...]:
        """Return the reports of up to 30 windows that ended before this one began, oldest first.

        They are about the same monitor, endpoint and model, are half to twice as long, and do not overlap. A window that was examined
        several times has the columns of its last first look, and the metrics of its last look.
        """
        theirs = [each for each in examined_windows(self._ledger, window.endpoint) if each.monitor == monitor]
        chosen = _chosen([each for each in theirs if each.model == window.model], window)
        reports = [self._report(looks) for looks in chosen]
        used = {look.report for looks in chosen for look in looks}
        self._kept = {digest: report for digest, report in self._kept.items() if digest in used}
        return tuple(reports)

    def _report(self, looks: list[WindowExamined]) -> Report:
        """Return one report of the looks at a window: what labels say is best said by the last one."""
        first = next((look for look in reversed(looks) if (look.look or 1) == 1), looks[0])
        last = looks[-1]
        report, alarm = self._load(first), first.alarm or last.alarm
        if last is first:
            return report
        late = self._load(last)
        findings = (*late.findings, *report.findings)
        return msgspec.structs.replace(
            report, metrics=late.metrics, labelled=late.labelled, alarm=alarm, findings=findings
        )

    def _load(self, look: WindowExamined) -> Report:
        """Return the report of a look; without columns where an erasure or damage took its blob, which `doctor` tells."""
        if look.report not in self._kept:
            try:
                self._kept[look.report] = msgspec.json.decode(self._blobs.get(look.report), type=Report)
            except (MlopsfwError, msgspec.ValidationError):
                return _facts(look)
        return self._kept[look.report]


def _facts(look: WindowExamined) -> Report:
    facts = {name: getattr(look, name) for name in _FACTS} | {"metrics": _numbers(look)}
    counts = {"rows": look.rows or 0, "labelled": look.labelled or 0, "version": look.version or 0, "summary": ""}
    return Report(**facts | counts | {"compared": look.compared is not False})


def _numbers(look: WindowExamined) -> dict[str, float]:
    return {name: value for name, value in look.metrics.items() if value is not None}


def _chosen(examined: list[WindowExamined], window: Window) -> list[list[WindowExamined]]:
    """Return the looks at each window to show, oldest window first. Of windows that overlap, the latest counts, and the own version."""
    start, length = _time(window.start), _time(window.end) - _time(window.start)
    looks: dict[tuple[datetime, bool, int, datetime], list[WindowExamined]] = {}
    for each in examined:
        low, high = _time(each.start), _time(each.end)
        if length / 2 <= high - low <= length * 2:
            version = each.version or 0
            looks.setdefault((high, version == window.version, version, low), []).append(each)
    chosen: list[list[WindowExamined]] = []
    free = start
    for (high, _, _, low), group in sorted(looks.items(), key=lambda item: item[0], reverse=True):
        if high <= free and len(chosen) < MOST:
            chosen.append(group)
            free = low
    return chosen[::-1]


def _time(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)
