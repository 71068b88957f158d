"""Where the boxes of a graph go: in layers from left to right, by Sugiyama, Tagawa and Toda's method (1981).

Knows nothing of lineage, nor of drawing. Edges that would close a circle are let be: they count for no layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_SWEEPS = 8  # the order hardly changes after some; more would only cost time

Link = tuple[str, str]
Spot = tuple[int, float]
_Slot = tuple[
    str, ...
]  # a node's own, `(node,)`, or `(source, target, layer)` where a long edge passes through a layer


class Layout(NamedTuple):
    """A drawing plan. A spot is (layer, place in it), both from 0.

    Args:
        nodes: Node → its spot.
        routes: Edge → the spots that it passes, its ends among them, in the order of the layers.
        layers: How many layers there are.
        tallest: How many places the fullest layer has.
    """

    nodes: dict[str, Spot]
    routes: dict[Link, tuple[Spot, ...]]
    layers: int
    tallest: int


def lay_out(nodes: Iterable[str], edges: Iterable[Link]) -> Layout:
    """Return where each node goes: right of all that lead to it, near what it hangs together with."""
    names, links = list(nodes), list(dict.fromkeys(edges))
    layer = _layers(names, links)
    paths = {link: _path(link, layer) for link in links}
    order = _order(_slots(names, layer, paths), paths.values())
    tallest = max(map(len, order), default=0)
    spots = {
        slot: (number, place + (tallest - len(slots)) / 2)
        for number, slots in enumerate(order)
        for place, slot in enumerate(slots)
    }
    routes = {link: tuple(spots[slot] for slot in path) for link, path in paths.items()}
    return Layout({name: spots[(name,)] for name in names}, routes, len(order), tallest)


def _layers(nodes: Sequence[str], edges: Sequence[Link]) -> dict[str, int]:
    """Return node → the length of the longest way to it (Kahn's order); the nodes of a circle follow in the order given."""
    after: dict[str, list[str]] = {node: [] for node in nodes}
    waiting = dict.fromkeys(nodes, 0)
    for source, target in edges:
        after[source].append(target)
        waiting[target] += 1
    layer = dict.fromkeys(nodes, 0)
    ready = [node for node in nodes if not waiting[node]]
    left = dict.fromkeys(nodes)
    while left:
        node = ready.pop() if ready else next(iter(left))
        if node not in left:
            continue
        del left[node]
        for target in after[node]:
            waiting[target] -= 1
            if target in left:
                layer[target] = max(layer[target], layer[node] + 1)
                if not waiting[target]:
                    ready.append(target)
    return layer


def _path(link: Link, layer: dict[str, int]) -> tuple[_Slot, ...]:
    left, right = sorted(link, key=layer.__getitem__)
    between = range(layer[left] + 1, layer[right])
    return ((left,), *((*link, str(number)) for number in between), (right,))


def _slots(nodes: Sequence[str], layer: dict[str, int], paths: dict[Link, tuple[_Slot, ...]]) -> list[list[_Slot]]:
    slots: list[list[_Slot]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for node in nodes:
        slots[layer[node]].append((node,))
    for path in paths.values():
        for slot in path[1:-1]:
            slots[int(slot[2])].append(slot)
    return slots


def _order(layers: list[list[_Slot]], paths: Iterable[tuple[_Slot, ...]]) -> list[list[_Slot]]:
    """Sort each layer by the mean place of what it hangs on, to and fro, so that few edges cross."""
    before: dict[_Slot, list[_Slot]] = {}
    behind: dict[_Slot, list[_Slot]] = {}
    for path in paths:
        for left, right in itertools.pairwise(path):
            before.setdefault(right, []).append(left)
            behind.setdefault(left, []).append(right)
    for sweep in range(_SWEEPS):
        near = before if sweep % 2 == 0 else behind
        place: dict[_Slot, float] = {}
        for slots in layers if sweep % 2 == 0 else reversed(layers):
            middle = (len(slots) - 1) / 2
            own = {slot: number - middle for number, slot in enumerate(slots)}
            slots.sort(key=lambda slot: _mean([place[n] for n in near.get(slot, ()) if n in place], own[slot]))
            place |= {slot: number - middle for number, slot in enumerate(slots)}
    return layers


def _mean(positions: list[float], own: float) -> float:
    return sum(positions) / len(positions) if positions else own
