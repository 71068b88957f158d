import numpy as np
from numpy.typing import NDArray

def count_bins(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]: ...
