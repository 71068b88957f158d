from typing import final

from ._detector import Detector

@final
class FHDDM(Detector):
    """Detect that the rate of ones falls."""

    sliding_window_size: int
    confidence_level: float
    short_window_size: int | None
    def __init__(
        self,
        sliding_window_size: int = 100,
        confidence_level: float = 0.000001,
        short_window_size: int | None = None,
    ) -> None: ...
    @property
    def n_one(self) -> int: ...
