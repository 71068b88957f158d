from collections.abc import Iterable, Sequence
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
def moments(column: Any) -> tuple[int, float, float]: ...

class Vocabulary:
    """Distinct texts, of which each has a code."""

    def __init__(self, texts: Iterable[str]) -> None: ...
    def __len__(self) -> int: ...

def encode_texts(
    vocabularies: list[Vocabulary], columns: Sequence[Any], places: Sequence[int], out: NDArray[np.int64]
) -> None: ...
