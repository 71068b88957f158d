"""The report as one HTML page: verdict, table, and a plot for each column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from mlopsfw.pages import escape, framed
from mlopsfw.roles import Baseline, Report, Window
from mlopsfw_monitor_drift.drawing import draw
from mlopsfw_monitor_drift.shapes import shape_of
from mlopsfw_monitor_drift.timeline import by_day, draw_days
from mlopsfw_monitor_drift.trend import Series, metrics
from mlopsfw_monitor_drift.trend_drawing import trend

if TYPE_CHECKING:
    from mlopsfw_monitor_drift import DriftConfig

_LEAST = 1e-300  # below, doubles run out


def render(report: Report, window: Window, config: DriftConfig) -> str:
    """Return the page."""
    baseline = window.baseline
    return framed(
        "mlopsfw_monitor_drift",
        _title(report),
        _rule(window, config),
        verdict="alarm" if report.alarm else "calm",
        word=_word(report),
        summary=escape(report.summary),
        facts=_facts(report),
        findings=_findings(report),
        table=_table(report),
        metrics=_metrics(report, window, config),
        trend=trend(report, window, config),
        days=_days(window, baseline, config),
        plots=_plots(report, window, baseline),
        before=escape(report.model) if _of_tables(report) else "training",
        now=escape(report.endpoint) if _of_tables(report) else "this window",
    )


def _of_tables(report: Report) -> bool:
    """Return whether two tables were compared, named as the model and the endpoint, rather than a window with its model."""
    return not report.version


def _word(report: Report) -> str:
    what = "drift" if _of_tables(report) else "alarm"
    return what.capitalize() if report.alarm else f"No {what}"


def _title(report: Report) -> str:
    if _of_tables(report):
        return f"{report.endpoint} compared with {report.model}"
    return f"{report.endpoint}: {report.start[:10]} to {report.end[:10]}"


def _facts(report: Report) -> str:
    facts = _tables(report) if _of_tables(report) else _window(report)
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts.items())


def _tables(report: Report) -> dict[str, str]:
    return {"reference": report.model, "current": report.endpoint, "rows of the current table": f"{report.rows:,}"}


def _window(report: Report) -> dict[str, str]:
    return {
        "endpoint": report.endpoint,
        "model": f"{report.model} version {report.version}",
        "from": report.start,
        "to": report.end,
        "rows": f"{report.rows:,}",
        "labelled": f"{report.labelled:,}",
        **{f"labels left out: {reason}": f"{count:,}" for reason, count in report.labels_aside.items()},
    }


def _metrics(report: Report, window: Window, config: DriftConfig) -> str:
    shown = [each for each in metrics((report,), window, config) if each.name != "label_mean"]
    if not shown:
        return ""
    lines = "".join(f"<tr><td>{escape(each.name)}</td>{_cells(each)}</tr>" for each in shown)
    head = "<tr><th>metric<th>this window<th>standard error<th>at evaluation<th>bound</tr>"
    return f'<h2>Metrics</h2><div class="scroll"><table class="narrow"><thead>{head}</thead><tbody>{lines}</tbody></table></div>'


def _cells(metric: Series) -> str:
    (point,) = metric.points
    numbers = (point.value, point.error, metric.reference, point.limit)
    return "".join(f"<td>{'' if number is None else f'{number:.4g}'}</td>" for number in numbers)


def _findings(report: Report) -> str:
    items = "".join(f'<li class="{f.severity}">{escape(f.message)}</li>' for f in report.findings)
    return f"<ul class=findings>{items}</ul>" if items else "<p>No findings.</p>"


def _table(report: Report) -> str:
    return "".join(_line(column) for column in report.columns)


def _line(column: dict[str, Any]) -> str:
    share = column.get("importance")
    cells = [
        escape(str(column["column"])),
        escape(str(column["type"])),
        escape(str(column["statistic"])),
        _number(column["value"]),
        _pvalue(column["pvalue"]),
        f'<span class="bar"><i style="width:{min(column["effect"] or 0.0, 1.0):.1%}"></i></span>{_number(column["effect"])}',
        _number(column["threshold"]),
        _number(share) if share is not None else "",
        "drifted" if column["drifted"] else "",
    ]
    mark = ' class="drifted"' if column["drifted"] else ""
    return f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _pvalue(value: float | None) -> str:
    return "&lt; 1e-300" if value is not None and value < _LEAST else _number(value)


def _days(window: Window, baseline: Baseline, config: DriftConfig) -> str:
    table = by_day(window, baseline, config.zone)
    if table is None or not (plot := draw_days(table)):
        return ""
    labelled = ' &nbsp; <b class="lab"></b> mean label' if table["labelled"].sum() else ""
    key = f'<p class="key"><b class="ref"></b> rows &nbsp; <b class="cur"></b> mean prediction{labelled}</p>'
    return f"<h2>Day by day</h2>{key}<figure>{plot}</figure>"


def _plots(report: Report, window: Window, baseline: Baseline) -> str:
    parts = []
    for column in report.columns:
        name = column["column"]
        content = baseline.profile.get(name)
        if content is None or name not in window.rows.column_names:
            continue
        values = pl.Series(name, pl.from_arrow(window.rows.column(name)))
        shape = shape_of(content, values)
        if shape is not None:
            mark = ' class="drifted"' if column["drifted"] else ""
            parts.append(
                f"<figure{mark}><figcaption>{escape(name)}</figcaption>{draw(shape, f'Distribution of {name}')}</figure>"
            )
    return "".join(parts)


def _rule(window: Window, config: DriftConfig) -> str:
    labelled = window.labels is not None or window.looks > 1
    grouped = (
        "the test treats rows as independent"
        if config.group == "none"
        else f"the test divides row counts by a design effect, which it estimates from the differences between the {config.group}s of the window"
    )
    if window.look > 1:
        return (
            f"This is look {window.look} of at most {window.looks} at the window. It judges only labels. A model is worse if a metric lost more "
            f"than the allowed amount and more than its sampling error explains. All looks share the level {config.alpha / 2:g}."
        )
    return (
        f"A column has drifted if its effect is at least {config.threshold:g} and its p-value, corrected over columns "
        f"(Benjamini-Hochberg), is at most {config.alpha / (2 if labelled else 1):g}. "
        + (
            "A model is worse if a metric lost more than the allowed amount and more than its sampling error explains. "
            if labelled
            else ""
        )
        + f"If rows are exchangeable, at most {config.alpha:.0%} of unchanged {'windows' if window.version else 'tables'} raise an alarm; "
        + "rows of successive days rarely are. "
        + f"The effect is the smallest share of rows that must have changed. For the p-values {grouped}."
    )
