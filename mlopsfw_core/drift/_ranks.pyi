from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

class RankSums(NamedTuple):
    """What one walk over two sorted samples yields."""

    m: int
    n: int
    above: int
    below: int
    above_at: float
    below_at: float
    area: float
    square: float
    anderson: float
    x_spread: int
    y_spread: int
    x_ranks: int
    tie_cubes: int

def rank_sums(x: NDArray[np.float64], y: NDArray[np.float64]) -> RankSums: ...
