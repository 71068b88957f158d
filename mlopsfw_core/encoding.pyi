from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SCALE: Final[int]
MISSING: Final[int]
RAMP: Final[int]
STEP: Final[np.dtype[np.void]]

def encode_numbers(
    steps: NDArray[np.void],
    intervals: NDArray[np.float64],
    columns: NDArray[np.float64] | Sequence[Any],
    out: NDArray[np.float32],
) -> None: ...
