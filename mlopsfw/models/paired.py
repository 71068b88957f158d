"""The difference of two models on the same rows, with its sampling error. Needs only NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_GROUPS = 20
_FEWEST = 2 * _GROUPS  # rows: a group of one row shows little
_T = 2.0930240544082634  # Student's t with 19 degrees of freedom, at 0.975


def interval(difference: Callable[[np.ndarray], float | None], rows: int) -> tuple[float, float] | None:
    """Return the 95% interval of a difference, by a delete-a-group jackknife (Wolter, Introduction to Variance Estimation, 2nd ed., chapter 4).

    Rows count as independent: each twentieth row is of one group.

    Args:
        difference: Returns the difference on the rows at an index, None where it is undefined.
        rows: How many rows there are.

    Returns:
        Its ends around the difference on all rows; None where there are fewer than 40 rows, or it is undefined without one of the groups.
    """
    if rows < _FEWEST:
        return None
    groups = np.arange(rows) % _GROUPS
    estimates = [difference(np.flatnonzero(groups != group)) for group in range(_GROUPS)]
    centre = difference(np.arange(rows))
    values = np.array([estimate for estimate in estimates if estimate is not None])
    if centre is None or len(values) < _GROUPS:
        return None
    error = float(np.sqrt(np.square(values - values.mean()).sum() * (_GROUPS - 1) / _GROUPS))
    return centre - _T * error, centre + _T * error
