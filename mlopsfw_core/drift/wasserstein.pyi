from typing import Any

import numpy as np
from numpy.typing import NDArray

def sorted_distance(x: NDArray[np.float64], y: NDArray[np.float64]) -> float: ...
def wasserstein_distance(u_values: Any, v_values: Any, u_weights: Any = None, v_weights: Any = None) -> float: ...
