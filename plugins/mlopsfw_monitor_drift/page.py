"""The report as one self-contained HTML page: verdict, table, a plot a column. No script, nothing loaded from anywhere.

Every name and category is escaped, and the page's own policy forbids whatever might slip through.
"""

from __future__ import annotations

from html import escape
from string import Template
from typing import TYPE_CHECKING, Any

import polars as pl

from mlopsfw.contracts.monitoring import Baseline, Report, Window
from mlopsfw_monitor_drift.drawing import draw
from mlopsfw_monitor_drift.shapes import shape_of

if TYPE_CHECKING:
    from mlopsfw_monitor_drift import DriftConfig


def render(report: Report, window: Window, baseline: Baseline, config: DriftConfig) -> str:
    """Return the page."""
    return _template().substitute(
        title=escape(f"{report.endpoint}: {report.start[:10]} to {report.end[:10]}"),
        verdict="alarm" if report.alarm else "calm",
        word="Alarm" if report.alarm else "No alarm",
        summary=escape(report.summary),
        facts=_facts(report),
        findings=_findings(report),
        table=_table(report),
        plots=_plots(report, window, baseline),
        rule=escape(_rule(window, config)),
    )


def _template() -> Template:
    from importlib.resources import files

    return Template(files("mlopsfw_monitor_drift").joinpath("page.html").read_text(encoding="utf-8"))


def _facts(report: Report) -> str:
    facts = {
        "endpoint": report.endpoint,
        "model": f"{report.model} version {report.version}",
        "from": report.start,
        "to": report.end,
        "rows": f"{report.rows:,}",
        "labelled": f"{report.labelled:,}",
    } | {name: f"{value:.4g}" for name, value in report.metrics.items()}
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts.items())


def _findings(report: Report) -> str:
    items = "".join(f'<li class="{f.severity}">{escape(f.message)}</li>' for f in report.findings)
    return f"<ul class=findings>{items}</ul>" if items else "<p>Nothing was found.</p>"


def _table(report: Report) -> str:
    return "".join(_line(column) for column in report.columns)


def _line(column: dict[str, Any]) -> str:
    share = column.get("importance")
    cells = [
        escape(str(column["column"])),
        escape(str(column["type"])),
        escape(str(column["statistic"])),
        _number(column["value"]),
        _number(column["pvalue"]),
        f'<span class="bar"><i style="width:{min(column["effect"] or 0.0, 1.0):.1%}"></i></span>{_number(column["effect"])}',
        _number(column["threshold"]),
        _number(share) if share is not None else "",
        "drifted" if column["drifted"] else "",
    ]
    mark = ' class="drifted"' if column["drifted"] else ""
    return f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _plots(report: Report, window: Window, baseline: Baseline) -> str:
    parts = []
    for column in report.columns:
        name = column["column"]
        kept = baseline.profile.get(name)
        if kept is None or name not in window.rows.column_names:
            continue
        values = pl.Series(name, pl.from_arrow(window.rows.column(name)))
        shape = shape_of(kept, values)
        if shape is not None:
            mark = ' class="drifted"' if column["drifted"] else ""
            parts.append(
                f"<figure{mark}><figcaption>{escape(name)}</figcaption>{draw(shape, f'Distribution of {name}')}</figure>"
            )
    return "".join(parts)


def _rule(window: Window, config: DriftConfig) -> str:
    labelled = window.labels is not None
    grouped = (
        "rows are taken to be independent"
        if config.group == "none"
        else f"rows of one {config.group} count for what they are worth"
    )
    return (
        f"A column has drifted when its effect is at least {config.threshold:g} and its p-value, corrected over columns "
        f"(Benjamini-Hochberg), at most {config.alpha / (2 if labelled else 1):g}. "
        + (
            "A model has grown worse when a metric lost more than is allowed and more than its sampling error explains. "
            if labelled
            else ""
        )
        + f"Where nothing has changed, at most {config.alpha:.0%} of windows alarm. "
        f"The effect is the share of rows that would have to change. For the p-values {grouped}."
    )
