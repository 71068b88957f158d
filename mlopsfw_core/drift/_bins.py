"""How two samples become counts over common bins. The reference decides the bins; the current sample never does.

Edges frozen from the reference keep one outlier in the current sample from moving every bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlopsfw_core._buffers import numeric_values
from mlopsfw_core._text import category_counts

from ._binning import count_bins
from ._gaps import at_ranks
from ._samples import Floats, ordered

Bins = int | tuple[Literal["uniform"], int] | str | Sequence[float] | NDArray[Any] | None
"""How to bin.

None: the arguments are counts (or shares) already. An integer: that many bins at the reference's quantiles. ("uniform", k): k
bins of equal width over the reference's range. A string: "categories" counts texts; any other names one of NumPy's rules
(`numpy.histogram_bin_edges`) for the reference. An array: edges as `numpy.histogram` takes them. The outer bins are always
open, so that every value is in one. More than `MAX_BINS` bins are an error, whoever asks for them.
"""

MAX_BINS = 1_000_000
"""The most bins that are made: far more than any sample can fill, and 8 MB of edges.

Freedman and Diaconis' rule divides the range by a width that follows the quartiles, so that one wild value asks for petabytes.
"""

_LEAST_TOTAL, _MOST_TOTAL = 1e-100, 1e100  # of counts: beyond, their squares and ratios leave what a double holds


def checked_bins(bins: float, rule: str) -> int:
    """Return the number of bins. Raise ValueError if it is below 1 or above `MAX_BINS`; `rule` names its origin."""
    if not 1 <= bins <= MAX_BINS:
        raise ValueError(
            f"{rule} makes {bins:.10g} bins; there is at least 1 and at most {MAX_BINS:,}: take bins=10 (the reference's "
            "quantiles), which outliers do not move"
        )
    return int(bins)


def quantile_edges(ordered: Floats, bins: int) -> Floats:
    """Return the inner edges of `bins` bins of equal share of a sorted sample; fewer where ties make edges coincide.

    An edge is the sample's own value at rank ceil(k n / bins), so that no arithmetic on the values is done. An edge at
    the minimum would leave the first bin empty and is dropped.
    """
    bins = checked_bins(bins, f"bins={bins}")
    finite = ordered[np.searchsorted(ordered, -np.inf, "right") : np.searchsorted(ordered, np.inf, "left")]
    if not finite.size:
        return np.zeros(0)
    ranks = np.arange(1, bins) * finite.size // bins
    edges: Floats = np.unique(finite[ranks])
    above: Floats = edges[edges > finite[0]]
    return above


def _finite(column: Any) -> tuple[Floats, tuple[float, float] | None]:
    """Return a column's finite numbers with the least and the greatest; None where there are none."""
    values, _ = numeric_values(column)
    ends = (float(values.min()), float(values.max())) if values.size else (np.nan, np.nan)
    if not np.isfinite(ends).all():  # NaN, too, comes through as an end
        values = values[np.isfinite(values)]
        ends = (float(values.min()), float(values.max())) if values.size else (np.nan, np.nan)
    return values, ends if values.size else None


def _sample_edges(reference: Any, bins: int) -> Floats:
    """Return the `quantile_edges` of a column, without sorting it where it is large."""
    values, ends = _finite(reference)
    quantiles = at_ranks(values, np.arange(1, bins) * values.size // bins)
    if quantiles is None or ends is None:
        return quantile_edges(ordered(values), bins)
    edges: Floats = np.unique(quantiles)
    return edges[edges > ends[0]]


def _freedman_diaconis(values: Floats, ends: tuple[float, float]) -> float:
    """Return how many bins the rule makes; NumPy's other rules stay below a power of the sample's size."""
    upper, lower = np.percentile(values, [75, 25])
    width = 2 * (upper - lower) / float(np.cbrt(values.size))
    return float(np.ceil((ends[1] - ends[0]) / width)) if width else 1.0


def _uniform_edges(values: Floats, ends: tuple[float, float] | None, rule: str | int) -> Floats:
    """Return the inner edges of bins of equal width, a given number or as many as one of NumPy's rules makes."""
    if isinstance(rule, int):
        checked_bins(rule, f"bins=('uniform', {rule})")
    elif ends is not None and ends[0] == ends[1]:
        return np.zeros(0)  # the deviation of equal values is rounding, by which Scott's rule would divide
    with np.errstate(over="ignore", invalid="ignore"):  # squares of wild values: NumPy's rule then makes one bin
        if ends is not None and not np.isfinite(ends[1] - ends[0]):
            raise ValueError(
                "the range of the reference is above 1.8e308, and bins of equal width need it: take bins=10"
            )
        if rule == "fd" and ends is not None:
            checked_bins(max(1.0, _freedman_diaconis(values, ends)), "bins='fd'")
        return np.asarray(np.histogram_bin_edges(values, bins=rule, range=ends)[1:-1], dtype=np.float64)


def _inner_edges(reference: Any, bins: Any) -> Floats:
    if isinstance(bins, (int, np.integer)):
        return _sample_edges(reference, checked_bins(int(bins), f"bins={bins}"))
    if isinstance(bins, str) or (isinstance(bins, tuple) and bins and bins[0] == "uniform"):
        return _uniform_edges(*_finite(reference), bins if isinstance(bins, str) else int(bins[1]))
    edges = np.ascontiguousarray(bins, dtype=np.float64)
    if edges.ndim != 1 or edges.size <= 1 or not (edges[1:] > edges[:-1]).all():
        raise ValueError("bin edges are one-dimensional, at least two, and strictly ascending")
    return edges[1:-1].copy()


def _category_table(reference: Any, current: Any) -> tuple[Floats, Floats]:
    first, _ = category_counts(reference)
    second, _ = category_counts(current)
    names = sorted(first.keys() | second.keys())
    return (
        np.array([first.get(name, 0) for name in names], dtype=np.float64),
        np.array([second.get(name, 0) for name in names], dtype=np.float64),
    )


def _counts(values: ArrayLike, position: str) -> Floats:
    counts = np.asarray(values, dtype=np.float64)
    if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(
            f"the {position} counts are one-dimensional, finite and not negative; to bin a sample, give bins="
        )
    return counts


def binned(reference: Any, current: Any, bins: Bins) -> tuple[Floats, Floats]:
    """Return both samples as counts over the same bins, as float64.

    Raises:
        ValueError: the counts do not match, or a sample has nothing to count.
    """
    if bins is None:
        first, second = _counts(reference, "first"), _counts(current, "second")
    elif isinstance(bins, str) and bins == "categories":
        first, second = _category_table(reference, current)
    else:
        edges = _inner_edges(reference, bins)
        first, second = (
            count_bins(numeric_values(sample)[0], edges).astype(np.float64) for sample in (reference, current)
        )
    if first.shape != second.shape:
        raise ValueError(f"the two samples have {first.size} and {second.size} bins")
    for counts in (first, second):
        if not counts.any():
            raise ValueError("a sample has nothing to count after leaving out nulls and NaN")
        with np.errstate(over="ignore"):
            total = counts.sum()
        if not _LEAST_TOTAL <= total <= _MOST_TOTAL:
            raise ValueError(
                f"the sum of the counts is {total:g}, outside {_LEAST_TOTAL:g} to {_MOST_TOTAL:g}: scale them"
            )
    return first, second


def shares(reference: Any, current: Any, bins: Bins) -> tuple[Floats, Floats]:
    """Return both samples as shares of their rows in each bin."""
    first, second = binned(reference, current, bins)
    return first / first.sum(), second / second.sum()
