"""Groups of correlated rows (flights of one day share their weather), and the design effect that divides the row counts.

The core estimates how much the clustering inflates variances. The estimate is itself a variance between few groups, so the scaled
statistic follows Student's t rather than the normal distribution. This module raises the design effect to make up for that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlopsfw.errors import ConfigError
from mlopsfw_core import Reference, design_effect
from mlopsfw_monitor_drift import DriftConfig

FEWEST_GROUPS = 5
"""With fewer groups the correlation within groups cannot be estimated, and the test treats rows as independent."""

_DAY = 86_400 * 1_000_000  # microseconds
_HALVINGS = 60
_TINY = 1e-300
_MANY = 1000  # degrees of freedom above which Student's t is close enough to the normal distribution


def row_groups(rows: pa.Table, config: DriftConfig) -> NDArray[np.int64] | None:
    """Return the number of each row's group, from 0, or None if the test treats rows as independent.

    Raises:
        ConfigError: The captured rows lack the column `config.group`.
    """
    if config.group == "none" or (config.group == "day" and "event_time" not in rows.column_names):
        return None
    if config.group == "day":
        return numbered(days(rows, config.zone))
    if config.group not in rows.column_names:
        raise ConfigError(f"the column {config.group!r} is not among the captured ones", key="monitor.drift.group")
    codes = rows.column(config.group).combine_chunks().dictionary_encode(null_encoding="encode")
    return numbered(codes.indices.to_numpy(zero_copy_only=False))


def days(rows: pa.Table, zone: str) -> NDArray[np.int64]:
    """Return each row's day of event time in the time zone, in days since 1970."""
    import pyarrow.compute as pc

    zoned = pc.cast(rows.column("event_time"), pa.timestamp("us", tz="UTC"))
    local = pc.local_timestamp(pc.cast(zoned, pa.timestamp("us", tz=zone)))
    return np.asarray(pc.cast(local, pa.int64()).to_numpy() // _DAY, dtype=np.int64)


def numbered(keys: NDArray[Any]) -> NDArray[np.int64]:
    """Return the keys as numbers from 0."""
    numbers: NDArray[np.int64] = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    return numbers


def enough(groups: NDArray[np.int64] | None) -> bool:
    """Return whether there are enough groups to estimate a design effect."""
    return groups is not None and groups.size > 0 and int(groups.max()) + 1 >= FEWEST_GROUPS


def design_effects(
    references: Mapping[str, Reference], rows: pa.Table, groups: NDArray[np.int64] | None, least: float, alpha: float
) -> dict[str, float]:
    """Return, for each column, the design effect that divides its row counts.

    Args:
        references: The references by column.
        rows: The window.
        groups: The group of each row, or None.
        least: The smallest design effect to return.
        alpha: The level of all columns together.
    """
    columns = [name for name in references if name in rows.column_names]
    if groups is None or not enough(groups):
        return dict.fromkeys(columns, least)
    level = alpha / max(2 * len(references), 1)  # of the first Benjamini-Hochberg step, with two tests for each column
    return {name: max(least, _effect(references[name], rows.column(name), groups, level)) for name in columns}


def _effect(reference: Reference, column: pa.ChunkedArray, groups: NDArray[np.int64], level: float) -> float:
    """Return the design effect at which the test keeps its level."""
    between = int(groups.max())
    if reference.kind != "categorical" or pa.types.is_nested(column.type):
        return design_effect(reference, column, groups) * few_groups(between, level)
    clusters = clustering(column, groups)
    freedom = max(int(clusters.moving * between), 1)
    return max(clusters.mean * concentration(clusters.cells, clusters.moving, level) * few_groups(freedom, level), 1.0)


@dataclass(frozen=True)
class Clustering:
    """How the shares of categories differ between groups.

    Args:
        mean: The mean design effect of Rao and Scott; below 1 if groups are more alike than chance explains, such as the days of a timetable.
        cells: The number of dimensions in which the groups can differ.
        moving: The effective number in which they do: (sum)² / (sum of squares) of the eigenvalues of their covariance, after Satterthwaite.
    """

    mean: float
    cells: int
    moving: float


def clustering(column: pa.ChunkedArray, groups: NDArray[np.int64]) -> Clustering:
    """Return how the categories of a column, without nulls, cluster by group."""
    table = _table(column, groups)
    rows, used = table.sum(), int((table.sum(axis=1) > 0).sum())
    cells = max(table.shape[1] - 1, 1)
    shares = table.sum(axis=0) / max(rows, 1.0)
    residuals = (table - table.sum(axis=1, keepdims=True) * shares) / np.sqrt(np.maximum(shares, _TINY))
    squares = residuals @ residuals.T
    total, most = float(np.trace(squares)), float(np.square(squares).sum())
    if used < FEWEST_GROUPS or most <= 0:
        return Clustering(1.0, cells, float(cells))
    return Clustering(total * used / (used - 1) / rows / cells, cells, float(np.clip(total**2 / most, 1.0, cells)))


def _table(column: pa.ChunkedArray, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return counts by group and category."""
    codes = column.combine_chunks().dictionary_encode().indices
    valid = np.asarray(codes.is_valid())
    values = np.asarray(codes.drop_null(), dtype=np.int64)
    width = int(values.max(initial=0)) + 1
    counts = np.bincount(groups[valid] * width + values, minlength=(int(groups.max()) + 1) * width)
    return counts.reshape(-1, width).astype(np.float64)


def concentration(cells: int, moving: float, level: float) -> float:
    """Return the factor that corrects the mean design effect of categories if few of their dimensions carry the clustering.

    The second-order correction of Rao & Scott (1981, JASA 76:221-230), as one factor at this level.
    """
    return max(cells / moving * _chi_square(moving, level) / _chi_square(cells, level), 1.0)


def _chi_square(freedom: float, level: float) -> float:
    """Return the upper quantile of chi-square, by Wilson and Hilferty's cube (within 3% here)."""
    spread = 2 / (9 * freedom)
    return freedom * (1 - spread + NormalDist().inv_cdf(1 - level) * math.sqrt(spread)) ** 3


@lru_cache
def few_groups(freedom: int, level: float) -> float:
    """Return the squared ratio of Student's quantile to the normal one: the cost of a variance estimated from few groups.

    Args:
        freedom: Degrees of freedom of the variance. For categories Thomas & Rao (1987, JASA 82:630-636) have (dimensions)(groups - 1).
        level: The two-sided level of the most significant column.
    """
    if freedom > _MANY:
        return 1.0
    normal = NormalDist().inv_cdf(1 - level / 2)
    return (student_quantile(level, freedom) / normal) ** 2


def student_quantile(level: float, freedom: int) -> float:
    """Return the t that |T| exceeds with probability `level`, where T has `freedom` degrees of freedom."""
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        angle = (low + high) / 2
        low, high = (angle, high) if _beyond(angle, freedom) > level else (low, angle)
    return math.tan(low) * math.sqrt(freedom)


def student_tail(t: float, freedom: int) -> float:
    """Return P(T > t), where T has `freedom` degrees of freedom."""
    tail = _beyond(math.atan(abs(t) / math.sqrt(freedom)), freedom) / 2
    return tail if t > 0 else 1 - tail


def _beyond(angle: float, freedom: int) -> float:
    """Return P(|T| > sqrt(freedom) tan(angle)), by Abramowitz & Stegun 26.7.3 and 26.7.4."""
    odd, square = freedom % 2, math.cos(angle) ** 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(1, (freedom - odd) // 2 + 1):
        total += term
        term *= square * ((2 * k) / (2 * k + 1) if odd else (2 * k - 1) / (2 * k))
    within = math.sin(angle) * total
    return max(1.0 - (2 / math.pi * (angle + within) if odd else within), 0.0)
