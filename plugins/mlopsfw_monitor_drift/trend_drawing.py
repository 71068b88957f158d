"""Draw the trend over windows: one small SVG for each metric and column, and all of them as one table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mlopsfw.pages import escape
from mlopsfw.roles import Report, Window
from mlopsfw_monitor_drift.trend import MOST_COLUMNS, Point, Series, columns, metrics

if TYPE_CHECKING:
    from mlopsfw_monitor_drift import DriftConfig

_WIDTH, _HEIGHT, _TOP, _BASE, _LEFT, _RIGHT = 320, 132, 14, 104, 58, 308
_KEY = (
    '<p class="key"><b class="cur"></b> value &nbsp; <b class="lim"></b> bound &nbsp; <b class="out"></b> beyond it by more than chance '
    '&nbsp; <span class="mark">▲</span> the window raised an alarm</p>'
)


def trend(report: Report, window: Window, config: DriftConfig) -> str:
    """Return the section about the windows before, as markup; empty where there were none."""
    if not window.past:
        return ""
    reports = (*window.past, report)
    shown, moved = metrics(reports, window, config), columns(reports)
    parts = [f"<h2>Trend over {len(reports)} windows</h2>", _KEY]
    if shown:
        parts.append(f'<div class="plots">{"".join(_figure(each, reports) for each in shown)}</div>')
    if moved:
        more = f", the {MOST_COLUMNS} nearest to their thresholds of {len(moved)}" if len(moved) > MOST_COLUMNS else ""
        parts.append(f"<h3>Effects of columns{more}</h3>")
        parts.append(f'<div class="plots">{"".join(_figure(each, reports) for each in moved[:MOST_COLUMNS])}</div>')
    return "".join([*parts, _table([*shown, *moved[:MOST_COLUMNS]], reports)])


def _figure(series: Series, reports: Sequence[Report]) -> str:
    mark = ' class="drifted"' if series.points[-1].beyond else ""
    return f"<figure{mark}><figcaption>{escape(series.name)}</figcaption>{draw(series, reports)}</figure>"


def draw(series: Series, reports: Sequence[Report]) -> str:
    """Return a series as an SVG element."""
    scale = _Scale(series)
    places = _places(reports)
    parts = [
        f'<line class="axis" x1="{_LEFT}" y1="{_BASE}" x2="{_RIGHT}" y2="{_BASE}"/>',
        _versions(reports, places),
        _limits(series, places, scale),
        f'<path class="cur" d="{_path(series, places, scale)}"/>',
        *(_dot(*each, scale) for each in zip(series.points, reports, places, strict=True)),
        _legends(reports, places, scale),
    ]
    title = f"{series.name} over {len(reports)} windows; the table below has the numbers"
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


class _Scale:
    """Maps values to heights."""

    def __init__(self, series: Series) -> None:
        numbers = [n for p in series.points for n in (p.value, p.limit) if n is not None]
        numbers += [
            p.value + side * p.error for p in series.points if p.value is not None and p.error for side in (-1, 1)
        ]
        low, high = min(numbers, default=0.0), max(numbers, default=1.0)
        pad = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
        self.low, self.high = low - pad, high + pad

    def __call__(self, value: float) -> float:
        return _BASE - (_BASE - _TOP) * (value - self.low) / (self.high - self.low)


def _places(reports: Sequence[Report]) -> list[float]:
    """Return where each window lies from left to right, by the time at which it begins."""
    times = [datetime.fromisoformat(report.start).timestamp() for report in reports]
    span = (times[-1] - times[0]) or 1.0
    return [_LEFT + 8 + (_RIGHT - _LEFT - 16) * (time - times[0]) / span for time in times]


def _path(series: Series, places: Sequence[float], scale: _Scale) -> str:
    """Return a line through the values, broken where a window has none."""
    parts, open_ = [], False
    for point, x in zip(series.points, places, strict=True):
        if point.value is not None:
            parts.append(f"{'L' if open_ else 'M'}{x:.1f} {scale(point.value):.1f}")
        open_ = point.value is not None
    return "".join(parts)


def _limits(series: Series, places: Sequence[float], scale: _Scale) -> str:
    edges = [places[0] - 8, *((a + b) / 2 for a, b in itertools.pairwise(places)), places[-1] + 8]
    lines = [
        f"M{edges[number]:.1f} {scale(point.limit):.1f}H{edges[number + 1]:.1f}"
        for number, point in enumerate(series.points)
        if point.limit is not None
    ]
    return f'<path class="lim" d="{"".join(lines)}"/>' if lines else ""


def _dot(point: Point, report: Report, x: float, scale: _Scale) -> str:
    alarm = f'<path class="mark" d="M{x - 4:.1f} {_BASE + 8}h8l-4 -7z"/>' if report.alarm else ""
    if point.value is None:
        return alarm
    y = scale(point.value)
    spread = ""
    if point.error:
        spread = f'<path class="err" d="M{x:.1f} {scale(point.value - point.error):.1f}V{scale(point.value + point.error):.1f}"/>'
    kind, radius = ("out", 4) if point.beyond else ("cur", 2.6)
    title = f"<title>{escape(_sentence(point, report))}</title>"
    return f'{alarm}{spread}<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">{title}</circle>'


def _sentence(point: Point, report: Report) -> str:
    words = [f"{report.start[:16]} to {report.end[:16]}, version {report.version}: {_number(point.value)}"]
    words += [f"bound {_number(point.limit)}"] if point.limit is not None else []
    return ", ".join(
        words + ["beyond it by more than chance"] * point.beyond + ["the window raised an alarm"] * report.alarm
    )


def _versions(reports: Sequence[Report], places: Sequence[float]) -> str:
    """Return a line where another version begins."""
    parts = []
    for number in range(1, len(reports)):
        if reports[number].version != reports[number - 1].version:
            x = (places[number - 1] + places[number]) / 2
            parts.append(f'<line class="axis" x1="{x:.1f}" y1="{_TOP - 4}" x2="{x:.1f}" y2="{_BASE}"/>')
            parts.append(f'<text x="{x + 3:.1f}" y="{_TOP + 2}">version {reports[number].version}</text>')
    return "".join(parts)


def _legends(reports: Sequence[Report], places: Sequence[float], scale: _Scale) -> str:
    ends = ((places[0] - 8, "start", reports[0]), (places[-1] + 8, "end", reports[-1]))
    below = "".join(
        f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{escape(report.start[:10])}</text>'
        for x, anchor, report in ends
    )
    heights = [scale.low + share * (scale.high - scale.low) for share in (0.0, 0.5, 1.0)]
    return below + "".join(
        f'<text x="{_LEFT - 4}" y="{scale(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>' for value in heights
    )


def _table(series: Sequence[Series], reports: Sequence[Report]) -> str:
    names = "".join(f'<th scope="col">{escape(each.name)}' for each in series)
    head = f'<tr><th scope="col">window<th scope="col">version<th scope="col">rows<th scope="col">alarm{names}</tr>'
    bounds = "".join(f"<td>{_number(each.points[-1].limit)}" for each in series)
    lines = "".join(_line(number, series, report) for number, report in enumerate(reports))
    return (
        "<details><summary>The trend as a table; ! marks a value that is beyond its bound by more than chance</summary>"
        f'<div class="scroll"><table><thead>{head}</thead><tbody>{lines}'
        f'<tr><th scope="row">bound in the last window<td><td><td>{bounds}</tr></tbody></table></div></details>'
    )


def _line(number: int, series: Sequence[Series], report: Report) -> str:
    cells = "".join(
        f"<td>{_number(point.value)}{' !' if point.beyond else ''}"
        for each in series
        for point in (each.points[number],)
    )
    alarm = "alarm" if report.alarm else ""
    return (
        f'<tr><th scope="row">{escape(report.start[:16])}<td>{report.version}<td>{report.rows:,}<td>{alarm}{cells}</tr>'
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
