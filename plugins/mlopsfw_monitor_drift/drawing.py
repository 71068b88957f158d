"""Draw shapes as inline SVG: a filled area for the reference with a line for the window, or pairs of bars for categories."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlopsfw.pages import escape
from mlopsfw_monitor_drift.shapes import Shape

_WIDTH, _HEIGHT, _BASE = 320, 120, 100
_ROW = 17


def draw(shape: Shape, title: str) -> str:
    """Return an SVG element. A screen reader reads `title`."""
    return _bars(shape, title) if shape.categorical else _histogram(shape, title)


def _histogram(shape: Shape, title: str) -> str:
    top = max(float(shape.reference.max()), float(shape.current.max()), 1e-12)
    step = _WIDTH / shape.reference.size
    edges = shape.labels
    marks = "".join(
        f'<text x="{x}" y="{_HEIGHT - 4}" text-anchor="{anchor}">{escape(text)}</text>'
        for x, anchor, text in (
            (0, "start", edges[0]),
            (_WIDTH / 2, "middle", edges[len(edges) // 2]),
            (_WIDTH, "end", edges[-1]),
        )
    )
    reference = _steps(shape.reference / top, step)
    current = _steps(shape.current / top, step)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<path class="ref" d="M0 {_BASE}{reference}L{_WIDTH} {_BASE}Z"/><path class="cur" d="M0 {_BASE}{current}L{_WIDTH} {_BASE}"/>'
        f'<line class="axis" x1="0" y1="{_BASE}" x2="{_WIDTH}" y2="{_BASE}"/>{marks}</svg>'
    )


def _steps(heights: NDArray[np.float64], step: float) -> str:
    parts = []
    for cell, height in enumerate(heights):
        y = _BASE - (_BASE - 6) * float(height)
        parts.append(f"L{cell * step:.1f} {y:.1f}L{(cell + 1) * step:.1f} {y:.1f}")
    return "".join(parts)


def _bars(shape: Shape, title: str) -> str:
    named = slice(None, -1) if shape.labels[-1].endswith(" others") and len(shape.labels) > 1 else slice(None)
    top = max(float(shape.reference[named].max()), float(shape.current[named].max()), 1e-12)  # the rest may be cut off
    left, numbers = 96, 104
    room = _WIDTH - left - numbers
    rows = []
    for number, (name, before, after) in enumerate(zip(shape.labels, shape.reference, shape.current, strict=True)):
        y = number * _ROW
        short = name if len(name) <= 14 else name[:13] + "…"  # noqa: PLR2004 - what fits
        rows.append(
            f'<text x="{left - 6}" y="{y + 12}" text-anchor="end"><title>{escape(name)}</title>{escape(short)}</text>'
            f'<rect class="ref" x="{left}" y="{y + 2}" width="{room * min(before / top, 1.0):.1f}" height="12"/>'
            f'<rect class="cur" x="{left}" y="{y + 6}" width="{room * min(after / top, 1.0):.1f}" height="4"/>'
            f'<text x="{_WIDTH}" y="{y + 12}" text-anchor="end">{before:.1%} → {after:.1%}</text>'
        )
    height = max(len(rows), 1) * _ROW + 4
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">{"".join(rows)}</svg>'
