from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def crossed_hashes(names: Sequence[str], columns: Sequence[Any]) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]: ...
