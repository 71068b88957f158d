"""The window day by day: rows, mean prediction and mean label, as a table and as an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from mlopsfw.pages import escape
from mlopsfw.roles import Baseline, Window
from mlopsfw_monitor_drift.groups import days

_WIDTH, _HEIGHT, _TOP, _BASE, _LEFT = 1040, 170, 14, 140, 56
_FEWEST_DAYS = 2
_DOTTED_UP_TO = 100  # days; beyond, dots would touch


def by_day(window: Window, baseline: Baseline, zone: str) -> pl.DataFrame | None:
    """Return `day, rows, prediction, label, labelled` for each day, in order; None for non-numeric outputs or a single day."""
    rows = pl.DataFrame(window.rows)
    output = next(iter(baseline.outputs), "")
    if output not in rows.columns or not rows[output].dtype.is_numeric() or "event_time" not in rows.columns:
        return None
    frame = rows.select("prediction_id", prediction=output).with_columns(day=pl.Series(days(window.rows, zone)))
    joined = frame.join(_labels(window, baseline), on="prediction_id", how="left")
    table = joined.group_by("day").agg(
        rows=pl.len(),
        prediction=pl.col("prediction").mean(),
        label=pl.col("label").mean(),
        labelled=pl.col("label").count(),
    )
    return table.sort("day") if table.height >= _FEWEST_DAYS else None


def _labels(window: Window, baseline: Baseline) -> pl.DataFrame:
    nothing = pl.DataFrame(schema={"prediction_id": pl.String, "label": pl.Float64})
    if window.labels is None or not window.labels.num_rows:
        return nothing
    labels = pl.DataFrame(window.labels).select("prediction_id", "label")
    if baseline.task == "binary":
        return labels.with_columns((pl.col("label") == baseline.classes[-1]).cast(pl.Float64))
    return (
        labels.with_columns(pl.col("label").cast(pl.Float64, strict=False))
        if baseline.task == "regression"
        else nothing
    )


def draw_days(table: pl.DataFrame) -> str:
    """Return the table as an SVG element: bars for rows, a line for the prediction, and a line for the label if there are any."""
    first, last = int(table["day"][0]), int(table["day"][-1])
    step = (_WIDTH - _LEFT) / max(last - first + 1, 1)
    positions = [_LEFT + (int(day) - first + 0.5) * step for day in table["day"]]
    lines = {"cur": table["prediction"].to_list(), "lab": table["label"].to_list()}
    numbers = [value for values in lines.values() for value in values if value is not None]
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    pad = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    scale = _Scale(low - pad, high + pad)
    parts = [_bars(table, positions, step), *(_line(kind, positions, values, scale) for kind, values in lines.items())]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="The window day by day">{"".join(parts)}'
        f'<line class="axis" x1="{_LEFT}" y1="{_BASE}" x2="{_WIDTH}" y2="{_BASE}"/>{_legends(table, positions, scale)}</svg>'
    )


class _Scale:
    """Maps values to heights."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        return _BASE - (_BASE - _TOP) * (value - self.low) / (self.high - self.low)


def _bars(table: pl.DataFrame, positions: Sequence[float], step: float) -> str:
    most = max(int(table["rows"].max() or 1), 1)  # type: ignore[arg-type]
    tallest = (_BASE - _TOP) * 0.45  # in the background, below what matters
    return "".join(
        f'<rect class="ref" x="{x - step * 0.4:.1f}" y="{_BASE - tallest * rows / most:.1f}" width="{step * 0.8:.1f}" '
        f'height="{tallest * rows / most:.1f}"><title>{_day(day)}: {rows:,} rows</title></rect>'
        for x, day, rows in zip(positions, table["day"], table["rows"], strict=True)
    )


def _line(kind: str, positions: Sequence[float], values: Sequence[float | None], scale: _Scale) -> str:
    points = [(x, scale(value)) for x, value in zip(positions, values, strict=True) if value is not None]
    if not points:
        return ""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in points)
    return f'<path class="{kind}" d="M{path}"/>{dots if len(points) <= _DOTTED_UP_TO else ""}'


def _legends(table: pl.DataFrame, positions: Sequence[float], scale: _Scale) -> str:
    days_ = table["day"].to_list()
    middle = len(days_) // 2
    ends = {0: "start", len(days_) - 1: "end"} | ({middle: "middle"} if 0 < middle < len(days_) - 1 else {})
    below = "".join(
        f'<text x="{positions[n]:.1f}" y="{_BASE + 18}" text-anchor="{anchor}">{_day(days_[n])}</text>'
        for n, anchor in ends.items()
    )
    heights = [scale.low + share * (scale.high - scale.low) for share in (0.0, 0.5, 1.0)]
    labels = "".join(
        f'<text x="{_LEFT - 8}" y="{scale(value) + 4:.1f}" text-anchor="end">{escape(f"{value:.3g}")}</text>'
        for value in heights
    )
    return below + labels


def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()
