from typing import Final

import numpy as np
from numpy.typing import NDArray

SMALLEST_GRID: Final = 40_000

class Counted:
    """A sample counted into the cells of a map."""

    counts: NDArray[np.int32]
    missing: int

    def __init__(
        self, values: NDArray[np.float64], centre: float, scale: float, n_cells: int, ascending: bool = False
    ) -> None: ...

def spread(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]: ...
def cells_for(total: int) -> int: ...
def counted_extremes(x: Counted, y: Counted) -> tuple[int, int, float, float] | None: ...
def at_ranks(values: NDArray[np.float64], ranks: NDArray[np.int64]) -> NDArray[np.float64] | None: ...
def grid_extremes(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[int, int, float, float] | None: ...
