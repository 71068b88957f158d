from typing import Final

import numpy as np
from numpy.typing import NDArray

SMALLEST_GRID: Final = 40_000

def grid_extremes(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[int, int, float, float] | None: ...
