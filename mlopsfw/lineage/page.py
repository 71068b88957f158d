"""A lineage as one HTML page: the graph and the list of what led to what."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mlopsfw.lineage.layout import Layout, Spot, lay_out
from mlopsfw.pages import escape, framed

if TYPE_CHECKING:
    from mlopsfw.lineage.graph import Lineage

_WIDE, _HIGH = 270, 46  # of a box, in pixels
_STEP_X, _STEP_Y = 360, 64  # from one box to the next
_EDGE = 12  # around the drawing
_PAGE = 1330  # of the drawing in the page, in pixels, beside a scroll bar: a wider one is drawn smaller
_SMALLEST = 0.6  # of the full size, at which letters can still be read: what is then too wide scrolls
_LETTERS = 34  # of 12.5 px monospace that a box holds; a run's reference has 32
_FOOTER = (
    "Time runs from left to right. The thick box is the one that you asked for. To its left is its origin; to its right are "
    "its descendants. Point at a box or a line to read its full text."
)


def render(found: Lineage, colours: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the page.

    Args:
        found: The lineage.
        colours: Scheme of references → the colour of its boxes. Other nodes lie outside of the project.
    """
    title, graph = f"Lineage of {found.root}", _graph(found, colours)
    return framed("mlopsfw.lineage", title, _FOOTER, graph=graph, nodes=_nodes(found), edges=_edges(found))


def _graph(found: Lineage, colours: Mapping[str, str]) -> str:
    edges = dict.fromkeys((*found.up, *found.down))
    plan = lay_out(found.nodes, ((edge.source, edge.target) for edge in edges))
    lines = "".join(
        f'<path d="{_curve(plan.routes[edge.source, edge.target])}"><title>'
        f"{escape(f'{edge.source} {edge.how} {edge.target}')}</title></path>"
        for edge in edges
    )
    boxes = "".join(_box(found, node, plan, colours) for node in found.nodes)
    wide, high = (plan.layers - 1) * _STEP_X + _WIDE + 2 * _EDGE, plan.tallest * _STEP_Y + _EDGE
    scale = max(_SMALLEST, min(1.0, _PAGE / wide))
    size = f'width="{wide * scale:g}" height="{high * scale:g}" viewBox="0 0 {wide} {high}"'
    way = f'<a href="#asked">Show {escape(_short(found.root))}</a>' if wide * scale > _PAGE else ""
    return f'{way}<svg {size} role="img" aria-label="{escape(found.root)}">{lines}{boxes}</svg>'


def _corner(spot: Spot) -> tuple[float, float]:
    return _EDGE + spot[0] * _STEP_X, _EDGE + spot[1] * _STEP_Y


def _curve(route: tuple[Spot, ...]) -> str:
    """Return an SVG path through the layers between two boxes, level where it enters and leaves each."""
    points: list[tuple[float, float]] = []
    for number, spot in enumerate(route):
        x, y = _corner(spot)
        ends = [x] * (number > 0) + [x + _WIDE] * (number < len(route) - 1)
        points += [(at, y + _HIGH / 2) for at in ends]
    parts = [f"M{points[0][0]:g},{points[0][1]:g}"]
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        middle = (x1 + x2) / 2
        parts.append(f"C{middle:g},{y1:g} {middle:g},{y2:g} {x2:g},{y2:g}")
    return "".join(parts)


def _box(found: Lineage, node: str, plan: Layout, colours: Mapping[str, str]) -> str:
    x, y = _corner(plan.nodes[node])
    kind, name = _class(node, colours), ""
    if node == found.root:
        kind, name = f"{kind} root", ' id="asked"'
    facts = _facts(found.nodes[node])
    return (
        f'<g{name} class="{kind}"><title>{escape(node)}{escape(f": {facts}" if facts else "")}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDE}" height="{_HIGH}" rx="7"/>'
        f'<text x="{x + 10:g}" y="{y + 20:g}">{escape(_short(node))}</text>'
        f'<text class="facts" x="{x + 10:g}" y="{y + 36:g}">{escape(_short(facts, 42))}</text></g>'
    )


def _class(node: str, colours: Mapping[str, str]) -> str:
    scheme, slash, _ = node.partition(":/")
    return escape(colours[scheme]) if slash and scheme in colours else "outside"


def _short(text: str, letters: int = _LETTERS) -> str:
    """Return `text`, its middle left out where it is long: names differ at their ends."""
    half = (letters - 1) // 2
    return text if len(text) <= letters else f"{text[:half]}…{text[-half:]}"


def _facts(facts: dict[str, Any]) -> str:
    words = [f"{facts['rows']:,} rows"] if "rows" in facts else []
    words += [f"@{alias}" for alias in facts.get("aliases", ())]
    words += [f"contract: {facts['contract']}"] if "contract" in facts else []
    return ", ".join(words + [str(facts[name])[:19] for name in ("status", "started", "time") if facts.get(name)])


def _nodes(found: Lineage) -> str:
    return "".join(
        f"<tr{' class=root' if node == found.root else ''}><td>{escape(node)}<td>{escape(_facts(facts))}</tr>"
        for node, facts in found.nodes.items()
    )


def _edges(found: Lineage) -> str:
    return "".join(
        f"<tr><td>{escape(edge.source)}<td>{escape(edge.how)}<td>{escape(edge.target)}</tr>"
        for edge in dict.fromkeys((*found.up, *found.down))
    )
