"""The difference of two models on the same rows, with its sampling error. Needs only NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlopsfw.models.bootstrap import FEWEST, student_quantile

_GROUPS = 20
_FEWEST = 2 * _GROUPS  # rows: a group of one row shows little


def interval(
    difference: Callable[[np.ndarray], float | None], rows: int, clusters: np.ndarray | None = None
) -> tuple[float, float] | None:
    """Return the 95% interval of a difference, by a delete-a-group jackknife (Wolter, Introduction to Variance Estimation, 2nd ed., chapter 4).

    Each twentieth cluster is of one group; of fewer than 20 clusters, each is a group.

    Args:
        difference: Returns the difference on the rows at an index, None where it is undefined.
        rows: How many rows there are.
        clusters: int64 code of each row's cluster, from 0, whose rows depend on each other; by default rows are independent.

    Returns:
        Its ends around the difference on all rows; None where there are fewer than 40 rows or 10 clusters, or it is undefined without one of
        the groups.
    """
    of_row = np.arange(rows) if clusters is None else clusters
    count = int(of_row.max(initial=-1)) + 1
    if rows < _FEWEST or count < FEWEST:
        return None
    size = min(_GROUPS, count)
    groups = of_row % size
    estimates = [difference(np.flatnonzero(groups != group)) for group in range(size)]
    centre = difference(np.arange(rows))
    values = np.array([estimate for estimate in estimates if estimate is not None])
    if centre is None or len(values) < size:
        return None
    error = float(np.sqrt(np.square(values - values.mean()).sum() * (size - 1) / size))
    reach = student_quantile(size - 1) * error
    return centre - reach, centre + reach
