from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

VERSION: int

class Signals(NamedTuple):
    """Rows where drift was detected, and rows where a warning stood: ascending int64 arrays."""

    drifts: NDArray[np.int64]
    warnings: NDArray[np.int64]

class Detector:
    """A change detector for a stream of numbers."""

    @property
    def drift_detected(self) -> bool: ...
    def update(self, x: float) -> None: ...
    def update_many(self, values: Any) -> NDArray[np.int64]: ...
    def reset(self) -> None: ...
    def to_dict(self) -> dict[str, Any]: ...
    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Self: ...

class WarningDetector(Detector):
    """A detector that warns before it detects."""

    @property
    def warning_detected(self) -> bool: ...
    def update_many_with_warnings(self, values: Any) -> Signals: ...
