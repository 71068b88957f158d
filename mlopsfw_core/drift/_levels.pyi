from typing import Final

import numpy as np
from numpy.typing import NDArray

SMALLEST: Final = 20_000

def few_levels(values: NDArray[np.float64]) -> NDArray[np.float64] | None: ...
def sorted_levels(values: NDArray[np.float64]) -> NDArray[np.float64] | None: ...
