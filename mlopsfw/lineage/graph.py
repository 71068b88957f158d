"""The lineage of a project, walked both ways.

Components say what led to what; this walks it and knows none of them. Edges are read from the index, so that a walk
costs the store one listing. A node is an exact reference (`data:/flights@3`, `runs:/01j…`, `models:/delay@2`,
`endpoints:/delay@5` for a revision), or `source:…` for what lies outside of the project.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import InvalidReference
from mlopsfw.kernel.component import Component, Edge, ReferenceKind

if TYPE_CHECKING:
    from mlopsfw.kernel.index import Index


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a thing came from, and everything that came of it.

    Args:
        root: The thing.
        nodes: Every node, the root among them → facts for people.
        up: The edges that lead to the root.
        down: The edges that lead from it.
    """

    root: str
    nodes: dict[str, dict[str, Any]]
    up: tuple[Edge, ...]
    down: tuple[Edge, ...]


class LineageGraph:
    """The lineage of a project.

    Args:
        index: What edges are read from.
        components: Who says which there are.
    """

    def __init__(self, index: Index, components: Sequence[Component]) -> None:
        self._index, self._components = index, components

    def walk(self, ref: str) -> Lineage:
        """Return the lineage of what `ref` names.

        Raises:
            InvalidReference: It is no reference.
            UnknownName: There is no such thing.
        """
        kind = self._kind(ref)
        if kind is None:
            schemes = ", ".join(f"{name}:/…" for name in sorted(self._kinds()))
            raise InvalidReference(f"{ref!r} is not a reference", hint=f"Write one of {schemes}.")
        edges = [edge for edge in self._edges() if edge.kind != "detail"]
        root = kind.exact(ref, self._index)
        if kind.edges is not None:
            edges = list(dict.fromkeys((*edges, *kind.edges(root, self._index))))
        up, down = _follow(root, edges, upwards=True), _follow(root, edges, upwards=False)
        nodes = {root, *(edge.source for edge in up), *(edge.target for edge in down)}
        return Lineage(root=root, nodes={node: self.facts(node) for node in sorted(nodes)}, up=up, down=down)

    def facts(self, ref: str) -> dict[str, Any]:
        """Return the facts about an exact reference; none about what no component knows."""
        kind = self._kind(ref)
        return {name: fact.value for name, fact in kind.facts(ref, self._index).items()} if kind else {}

    def colours(self) -> dict[str, str]:
        """Return the colour of each scheme in drawings."""
        return {scheme: kind.colour for scheme, kind in self._kinds().items()}

    def downstream(self, refs: Iterable[str]) -> set[str]:
        """Return what came, or may have come, of any of the exact references `refs`, and those themselves."""
        near = _neighbours(self._edges(), upwards=False)
        roots = set(refs)
        return roots | {edge.target for root in roots for edge in _reached(root, near, upwards=False)}

    def origins(self, refs: Iterable[str]) -> dict[str, set[str]]:
        """Return for each of the exact references `refs` what it was made from, and that from, and so on.

        Left out is the version before one that was appended to, or restored: a version holds all of its rows itself.
        """
        near = _neighbours((edge for edge in self._edges() if edge.kind != "followed"), upwards=True)
        return {ref: {edge.source for edge in _reached(ref, near, upwards=True)} for ref in refs}

    def _edges(self) -> list[Edge]:
        self._index.refresh()
        readers: list[Callable[[Index], Iterable[Edge]]] = [c.edges for c in self._components if c.edges is not None]
        return list(dict.fromkeys(edge for read in readers for edge in read(self._index)))

    def _kinds(self) -> dict[str, ReferenceKind]:
        return {kind.scheme: kind for component in self._components for kind in component.references}

    def _kind(self, ref: str) -> ReferenceKind | None:
        scheme, colon, _ = ref.partition(":/")
        return self._kinds().get(scheme) if colon else None


_Neighbours = dict[str, list[Edge]]


def _neighbours(edges: Iterable[Edge], *, upwards: bool) -> _Neighbours:
    near: _Neighbours = {}
    for edge in edges:
        near.setdefault(edge.target if upwards else edge.source, []).append(edge)
    return near


def _follow(root: str, edges: Iterable[Edge], *, upwards: bool) -> tuple[Edge, ...]:
    return _reached(root, _neighbours(edges, upwards=upwards), upwards=upwards)


def _reached(root: str, near: _Neighbours, *, upwards: bool) -> tuple[Edge, ...]:
    """Return the edges on all ways from `root`, the nearest first."""
    passed: list[Edge] = []
    seen, queue = {root}, deque([root])
    while queue:
        for edge in near.get(queue.popleft(), ()):
            passed.append(edge)
            beyond = edge.source if upwards else edge.target
            if beyond not in seen:
                seen.add(beyond)
                queue.append(beyond)
    return tuple(passed)
