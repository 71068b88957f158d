import numpy as np
from numpy.typing import NDArray

CLASSES: tuple[str, ...]

def read_texts(
    segment: object, characters: bool, rows: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]: ...
def text_bytes(segment: object, row: int, limit: int) -> tuple[bytes, int]: ...
