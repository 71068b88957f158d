"""Compute the data of a column's plot: the shares of reference and window in the same cells. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mlopsfw_core import Reference

BINS = 24
MOST_CATEGORIES = 8


@dataclass(frozen=True)
class Shape:
    """Two distributions over the same cells.

    Args:
        labels: For categories the name of each cell; for numbers the edges, one more than the cells.
        reference, current: Shares, shape (cells,).
    """

    labels: tuple[str, ...]
    reference: NDArray[np.float64]
    current: NDArray[np.float64]
    categorical: bool


def shape_of(stored: Mapping[str, Any], rows: pl.Series) -> Shape | None:
    """Return the shape of one column, or None if a side is empty or the reference kept only hashes."""
    content = Reference.from_dict(stored).content
    counts = getattr(content, "counts", None)
    if hasattr(content, "points"):
        return _numeric(content.points, rows)
    return _categorical(counts, rows) if counts else None


def _numeric(points: NDArray[np.float64], rows: pl.Series) -> Shape | None:
    physical = rows.to_physical() if rows.dtype.is_temporal() else rows
    values = physical.cast(pl.Float64, strict=False).drop_nulls().to_numpy()
    values = values[np.isfinite(values)]
    if not points.size or not values.size:
        return None
    both = np.quantile(points, [0.005, 0.995]), np.quantile(values, [0.005, 0.995])
    low, high = float(min(both[0][0], both[1][0])), float(max(both[0][1], both[1][1]))
    whole = bool(np.all(points == np.rint(points)) and np.all(values == np.rint(values)))
    edges = _edges(low, high, whole=whole)
    shares = [np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0] / side.size for side in (points, values)]
    shape = (
        np.append(edges[:-1] + 0.5, edges[-1] - 0.5) if whole else edges
    )  # the first and last whole number of each cell
    return Shape(tuple(f"{edge:.4g}" for edge in shape), shares[0], shares[1], categorical=False)


def _edges(low: float, high: float, *, whole: bool) -> NDArray[np.float64]:
    """Return the edges of cells of equal width. Cells of whole numbers hold equally many of them: a plot would show combs otherwise."""
    if not whole:
        return np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    width = max(np.ceil((high - low + 1) / BINS), 1.0)
    edges: NDArray[np.float64] = np.arange(np.ceil((high - low + 1) / width) + 1) * width + np.floor(low) - 0.5
    return edges


def _categorical(counts: Mapping[str, int], rows: pl.Series) -> Shape | None:
    now = {str(name): int(n) for name, n in rows.drop_nulls().value_counts().iter_rows()}
    before_rows, now_rows = sum(counts.values()), sum(now.values())
    if not before_rows or not now_rows:
        return None
    pairs = {n: (counts.get(n, 0) / before_rows, now.get(n, 0) / now_rows) for n in counts.keys() | now.keys()}
    largest = sorted(pairs, key=lambda n: (-sum(pairs[n]), n))[:MOST_CATEGORIES]
    others = [sum(pair[side] for name, pair in pairs.items() if name not in largest) for side in (0, 1)]
    cells = [(name, *pairs[name]) for name in largest] + (
        [(f"{len(pairs) - len(largest)} others", *others)] if any(others) else []
    )
    names, before, after = zip(*cells, strict=True)
    return Shape(tuple(names), np.array(before), np.array(after), categorical=True)
