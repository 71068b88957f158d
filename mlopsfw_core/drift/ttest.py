"""The two-sample t-test."""

from __future__ import annotations

from math import sqrt
from typing import Any, Literal, NamedTuple

import numpy as np

from ._samples import Floats, near_one, present_values
from ._special import student_sf


class TtestResult(NamedTuple):
    """The statistic, its p-value and its degrees of freedom."""

    statistic: float
    pvalue: float
    df: float


def _tail(t: float, df: float, alternative: str) -> float:
    if alternative == "two-sided":
        return 2 * student_sf(abs(t), df)
    return student_sf(t if alternative == "greater" else -t, df)


def _spread(first: Floats, second: Floats, *, equal_var: bool) -> tuple[float, float]:
    """Return the squared standard error of the difference of means, and its degrees of freedom."""
    m, n = first.size, second.size
    a, b = float(first.var(ddof=1)) if m > 1 else 0.0, float(second.var(ddof=1)) if n > 1 else 0.0
    if equal_var:
        return ((m - 1) * a + (n - 1) * b) / (m + n - 2) * (1 / m + 1 / n), float(m + n - 2)
    error = a / m + b / n
    if error == 0:
        return 0.0, 1.0
    share = a / m / error  # of the first sample: squares of shares do not underflow as those of variances do
    return error, 1 / (share**2 / max(m - 1, 1) + (1 - share) ** 2 / max(n - 1, 1))


def ttest_ind(
    a: Any,
    b: Any,
    *,
    equal_var: bool = True,
    alternative: Literal["two-sided", "less", "greater"] = "two-sided",
) -> TtestResult:
    """Test whether two samples have one mean; as `scipy.stats.ttest_ind`.

    Args:
        a: the first sample, any column of finite numbers.
        b: the second.
        equal_var: Student's test with a pooled variance, or (False) Welch's.
        alternative: "two-sided", "less" (the first mean is smaller) or "greater".

    Returns:
        TtestResult. Nulls and NaN are left out. Too few values, an infinity, or two constant and equal samples are no evidence:
        0, 1; constant and different samples give an infinite statistic and p-value 0 (1 on the other side).
    """
    if alternative not in {"two-sided", "less", "greater"}:
        raise ValueError(f"alternative is 'two-sided', 'less' or 'greater', not {alternative!r}")
    first, second = present_values(a), present_values(b)
    total = first.size + second.size
    finite = bool(np.isfinite(first).all() and np.isfinite(second).all())
    if not first.size or not second.size or total <= len("ab") or not finite:
        return TtestResult(0.0, 1.0, float(max(total - 2, 0)))
    first, second = near_one(first, second)
    difference = float(first.mean() - second.mean())
    error, df = _spread(first, second, equal_var=equal_var)
    if error == 0:
        if difference == 0:
            return TtestResult(0.0, 1.0, df)
        infinity = float("inf") if difference > 0 else float("-inf")
        agrees = alternative == "two-sided" or (alternative == "greater") == (difference > 0)
        return TtestResult(infinity, 0.0 if agrees else 1.0, df)
    t = difference / sqrt(error)
    return TtestResult(t, _tail(t, df, alternative), df)
