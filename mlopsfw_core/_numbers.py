"""What is kept of a reference's numeric column, and how a current column compares with it.

A small sample is kept whole; a large one as quantile points, whose distribution function is nowhere further from the
sample's than `Numbers.slack`. Infinities are counted apart, so that everything kept is a finite number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._buffers import numeric_values
from .drift._bins import quantile_edges
from .drift._kolmogorov import kolmogorov_sf
from .drift._samples import Floats, ordered
from .drift.ks import ks_pvalue, sorted_extremes
from .drift.psi import psi
from .drift.wasserstein import sorted_distance

FEW_VALUES = 5
"""A numeric column with at most this many values is compared value by value: Kolmogorov-Smirnov is blunt under such ties."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """A current column's numbers in order, with what is missing counted."""

    values: Floats  # ascending, infinities at the ends
    nulls: int
    nan: int


def sort_column(column: Any) -> Sorted:
    """Read a column once: its numbers in order, nulls and NaN counted and left out."""
    values, nulls = numeric_values(column)
    present = ordered(values)
    return Sorted(present, nulls, values.size - present.size)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A numeric reference column.

    `points` are ascending finite values that stand for `finite` rows in equal parts; `edges` and `counts` are the frozen
    bins for PSI (infinities fall into the outer ones); `levels` pairs value and count where there are few values.
    """

    points: Floats
    finite: int
    neg_inf: int
    pos_inf: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    std: float | None
    edges: Floats
    counts: NDArray[np.int64]
    levels: tuple[tuple[float, int], ...] | None

    @property
    def rows(self) -> int:
        """How many rows hold a number, infinities included."""
        return self.finite + self.neg_inf + self.pos_inf

    @property
    def exact(self) -> bool:
        """Whether the points are the whole sample."""
        return self.points.size == self.finite

    @property
    def slack(self) -> float:
        """The most by which the points' distribution function can miss the sample's."""
        return 0.0 if self.exact else 0.5 / self.points.size + 1.0 / self.finite


def finite_part(ordered: Floats) -> Floats:
    """Return a view of the finite values of a sorted column."""
    return ordered[np.searchsorted(ordered, -np.inf, side="right") : np.searchsorted(ordered, np.inf, side="left")]


def sorted_bins(ordered: Floats, edges: Floats) -> NDArray[np.int64]:
    """Count a sorted column into bins, as `count_bins` does, by looking up the edges."""
    positions = np.searchsorted(ordered, edges, side="left")
    return np.diff(positions, prepend=0, append=ordered.size).astype(np.int64)


def fit_numbers(column: Sorted, max_points: int, bins: int) -> Numbers:
    """Reduce a sorted column to what is kept of it."""
    ordered = column.values
    finite = finite_part(ordered)
    low = int(np.searchsorted(ordered, -np.inf, side="right"))
    points = finite
    if finite.size > max_points:
        points = finite[((np.arange(max_points) + 0.5) * (finite.size / max_points)).astype(np.int64)]
    mean, std = moments(finite)
    edges = quantile_edges(finite, bins)
    return Numbers(
        points=points.copy(),
        finite=finite.size,
        neg_inf=low,
        pos_inf=ordered.size - low - finite.size,
        minimum=float(finite[0]) if finite.size else None,
        maximum=float(finite[-1]) if finite.size else None,
        mean=mean,
        std=std,
        edges=edges,
        counts=sorted_bins(ordered, edges),
        levels=few_levels(ordered) if finite.size == ordered.size else None,
    )


def value_counts(ordered: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the distinct values of a sorted column and how often each occurs."""
    changed = np.ones(ordered.size, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=changed[1:])
    starts = np.flatnonzero(changed)
    return ordered[starts], np.diff(starts, append=ordered.size)


def moments(finite: Floats) -> tuple[float | None, float | None]:
    """Return mean and population standard deviation; None where there is none, or where it exceeds a float."""
    if not finite.size:
        return None, None
    scale = max(abs(finite[0]), abs(finite[-1]), np.finfo(float).tiny)
    scaled = finite / scale  # so that no sum or square exceeds a float
    mean = float(scaled.mean())
    scaled -= mean
    std = float(np.sqrt(np.square(scaled, out=scaled).mean()) * scale)
    return mean * float(scale), std if np.isfinite(std) else None


def few_levels(ordered: Floats) -> tuple[tuple[float, int], ...] | None:
    """Pair each value of a sorted column with its count, by hopping from one to the next; None where there are many, or none."""
    levels: list[tuple[float, int]] = []
    start = 0
    while start < ordered.size:
        if len(levels) == FEW_VALUES:
            return None
        stop = int(np.searchsorted(ordered, ordered[start], side="right"))
        levels.append((float(ordered[start]), stop - start))
        start = stop
    return tuple(levels) or None


def ks_against(reference: Numbers, ordered: Floats, design: float = 1.0) -> tuple[float, float]:
    """Return (D, p) of the two-sample Kolmogorov-Smirnov test of a sorted column against the kept points.

    Where the points stand for a larger sample, D less `slack` is tested: the p-value is at least that of the whole sample. Rows that
    cluster count for 1 / `design` each, by the limiting distribution.
    """
    n, m = reference.rows, ordered.size
    if not n or not m:
        return 0.0, 1.0
    if reference.exact:
        units = max(sorted_extremes(_whole(reference), ordered)[:2])
        if design > 1.0:
            return units / (n * m), kolmogorov_sf(units / (n * m), _effective(n, m, design))
        return units / (n * m), ks_pvalue(units, n, m)
    before, after = _steps(reference)
    current_before = np.searchsorted(ordered, _stops(reference), side="left")
    current_after = np.searchsorted(ordered, _stops(reference), side="right")
    gaps = np.concatenate([before / n - current_before / m, after / n - current_after / m])
    distance = float(np.abs(gaps).max())
    return distance, kolmogorov_sf(max(0.0, distance - reference.slack), _effective(n, m, design))


def _whole(reference: Numbers) -> Floats:
    """The reference's sample in order, infinities at its ends; only where the points are the sample."""
    if not reference.neg_inf and not reference.pos_inf:
        return reference.points
    ends = np.full(reference.neg_inf, -np.inf), np.full(reference.pos_inf, np.inf)
    return np.concatenate([ends[0], reference.points, ends[1]])


def _effective(n: int, m: int, design: float) -> int:
    return max(1, round(n * m / (n + m) / design))


def _stops(reference: Numbers) -> Floats:
    """The places where the reference's step function moves, infinities always among them."""
    return np.concatenate([[-np.inf], reference.points, [np.inf]])


def _steps(reference: Numbers) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows of the reference below each stop, and at or below it."""
    points = reference.points
    weight = reference.finite / points.size
    low, n = reference.neg_inf, reference.rows
    before = np.concatenate([[0], low + weight * np.searchsorted(points, points, side="left"), [n - reference.pos_inf]])
    after = np.concatenate([[low], low + weight * np.searchsorted(points, points, side="right"), [n]])
    return before, after


def shift_details(reference: Numbers, ordered: Floats) -> dict[str, float | None]:
    """Describe a change by more than its test: PSI on the frozen bins, W1 over the reference's spread, the means."""
    finite = finite_part(ordered)
    if not finite.size or not reference.finite:
        return {}
    mean, std = moments(finite)
    spread = max(reference.std or 0.0, 1e-3 * abs(reference.mean or 0.0), float(np.finfo(float).tiny))
    distance = float(sorted_distance(reference.points, finite) / spread)
    return {
        "psi": psi(reference.counts, sorted_bins(ordered, reference.edges)),
        "wasserstein_normed": distance if np.isfinite(distance) else None,
        "reference_mean": reference.mean,
        "current_mean": mean,
        "reference_std": reference.std,
        "current_std": std,
    }
