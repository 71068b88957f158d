from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Sums: TypeAlias = tuple[int, float, float, float, float, float, float]

def moments_of(values: NDArray[np.float64]) -> Sums: ...
def merge_moments(a: Sums, b: Sums) -> Sums: ...
def split_finite(
    values: NDArray[np.float64], valid: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], int, int, int, int]: ...
