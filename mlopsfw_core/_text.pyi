from typing import Any

import numpy as np
from numpy.typing import NDArray

class TextSegment:
    """A run of rows read as texts."""

    codes: NDArray[np.int64] | None
    def __len__(self) -> int: ...

def text_of(value: object) -> str | None: ...
def text_segments(column: Any) -> list[TextSegment]: ...
def category_counts(column: Any) -> tuple[dict[str, int], int]: ...
