from typing import final

from ._detector import Detector

@final
class ADWIN(Detector):
    """Detect a change of mean with a window that adapts its length."""

    delta: float
    clock: int
    max_buckets: int
    min_window_length: int
    grace_period: int
    def __init__(
        self,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ) -> None: ...
    @property
    def width(self) -> int: ...
    @property
    def total(self) -> float: ...
    @property
    def variance(self) -> float: ...
    @property
    def estimation(self) -> float: ...
    @property
    def n_detections(self) -> int: ...
