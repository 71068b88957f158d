"""The windows before this one: which metrics and columns they had, and within which bounds. Draws nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopsfw.evaluation import OWN
from mlopsfw.roles import Report, Window
from mlopsfw_monitor_drift.performance import bound

if TYPE_CHECKING:
    from mlopsfw_monitor_drift import DriftConfig

MOST_COLUMNS = 40
ERROR = "_standard_error"


@dataclass(frozen=True)
class Point:
    """What one window says of a metric or a column.

    Args:
        value: The metric, or the effect of the column; None where the window has none.
        limit: The value from which it counts as worse or drifted; None where it is unknown.
        error: The standard error; None for none.
        beyond: Whether it counted as worse or drifted: beyond the limit, and not by chance alone.
    """

    value: float | None
    limit: float | None = None
    error: float | None = None
    beyond: bool = False


@dataclass(frozen=True)
class Series:
    """A metric or a column over the windows.

    Args:
        name: Its name.
        points: One for each window, in order.
        reference: The metric at evaluation; None for a column.
    """

    name: str
    points: tuple[Point, ...]
    reference: float | None = None


def metrics(reports: Sequence[Report], window: Window, config: DriftConfig) -> list[Series]:
    """Return each metric over the windows, those that raise alarms first. Bounds are those of the window's version alone."""
    names = [name for name in _names(report.metrics for report in reports) if not name.endswith(ERROR)]
    watched = {name for name in names if any(name + ERROR in report.metrics for report in reports)}
    return [
        _metric(name, reports, window, config if name in watched else None)
        for name in sorted(names, key=lambda name: name not in watched)
    ]


def _metric(name: str, reports: Sequence[Report], window: Window, config: DriftConfig | None) -> Series:
    before = window.baseline.metrics.get(name)
    limit = None if config is None or before is None else bound((window.metrics or OWN)[name], before, config)
    points = tuple(
        Point(
            report.metrics.get(name),
            limit if report.version == window.version else None,
            report.metrics.get(name + ERROR),
            any(f.subject == name and f.kind == "performance" for f in report.findings),
        )
        for report in reports
    )
    return Series(name, points, before)


def columns(reports: Sequence[Report]) -> list[Series]:
    """Return the effect of each column over the windows. Those come first that came furthest beyond their threshold, or nearest to it."""
    cells = [{each["column"]: each for each in report.columns} for report in reports]
    every = [
        Series(name, tuple(_effect(window[name]) if name in window else Point(None) for window in cells))
        for name in _names(cells)
    ]
    return sorted(every, key=_nearness)


def _effect(column: dict[str, object]) -> Point:
    effect, threshold = column.get("effect"), column.get("threshold")
    numbers = [float(each) if isinstance(each, int | float) else None for each in (effect, threshold)]
    return Point(numbers[0], numbers[1], beyond=bool(column.get("drifted")))


def _nearness(series: Series) -> tuple[bool, float]:
    shares = [(p.value or 0.0) / (p.limit or 1.0) for p in series.points]
    return not any(p.beyond for p in series.points), -max(shares, default=0.0)


def _names(windows: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for window in windows for name in window))
