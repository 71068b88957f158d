"""A run as a notebook shows it: curves of its metrics, and tables of its parameters, metrics and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mlopsfw.pipeline.run.page import curves_of, drawn_curves
from mlopsfw.pipeline.run.record import results_of

if TYPE_CHECKING:
    from mlopsfw.pipeline.run.metrics import Metric
    from mlopsfw.pipeline.run.record import RunView

_STYLE = """<style>.mlopsfw-curves { display: flex; flex-wrap: wrap; gap: 12px }
.mlopsfw-curves figure { margin: 0; width: 320px } .mlopsfw-curves figcaption { font-weight: 600 }
.mlopsfw-curves text { font-size: 10.5px; fill: currentColor } .mlopsfw-curves .axis { stroke: currentColor; opacity: .3 }
.mlopsfw-curves path { fill: none; stroke: #1668c7; stroke-width: 1.8 }</style>"""


def run_html(view: RunView, metrics: Sequence[Metric] = ()) -> str:
    """Return a run as HTML without a frame, with curves of the numbers that were logged with steps. Every text in it is escaped."""
    seconds = f"{view.seconds:.2f} s" if view.finished else ""
    head = " · ".join(filter(None, (f"run {view.id}", view.pipeline, view.status, seconds)))
    tables = (("parameter", view.params), ("metric", view.metrics), ("result", results_of(view)))
    drawn = drawn_curves([curves_of(metrics)])
    curves = f'{_STYLE}<div class="mlopsfw-curves">{drawn}</div>' if drawn else ""
    return f"<p><b>{escape(head)}</b></p>{curves}" + "".join(_table(title, rows) for title, rows in tables if rows)


def _table(title: str, rows: Mapping[str, Any]) -> str:
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<table><thead><tr><th>{title}</th><th>value</th></tr></thead><tbody>{cells}</tbody></table>"
