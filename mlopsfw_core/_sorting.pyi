from typing import Final

import numpy as np
from numpy.typing import NDArray

HAS_CELLS: Final[bool]
PATH: Final[str]

def ascending(values: NDArray[np.float64]) -> NDArray[np.float64]: ...
def ascending_by_cells(values: NDArray[np.float64]) -> NDArray[np.float64]: ...
