from typing import Literal, final

from ._detector import Detector

@final
class PageHinkley(Detector):
    """Detect a change of mean by Page's cumulative sum."""

    min_instances: int
    delta: float
    threshold: float
    alpha: float
    mode: Literal["up", "down", "both"]
    def __init__(
        self,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 0.9999,
        mode: Literal["up", "down", "both"] = "both",
    ) -> None: ...
