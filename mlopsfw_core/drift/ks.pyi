from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Alternative: TypeAlias = Literal["two-sided", "less", "greater"]
Method: TypeAlias = Literal["auto", "exact", "asymp"]

MAX_EXACT: Final = 10_000

class KsResult(NamedTuple):
    """The statistic, its p-value, where it is attained, and on which side."""

    statistic: float
    pvalue: float
    statistic_location: float
    statistic_sign: int

def ks_extremes(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[int, int, float, float]: ...
def ks_pvalue(units: int, m: int, n: int, alternative: Alternative = "two-sided", method: Method = "auto") -> float: ...
def ks_2samp(data1: Any, data2: Any, alternative: Alternative = "two-sided", method: Method = "auto") -> KsResult: ...
