from typing import final

from ._detector import WarningDetector

@final
class EDDM(WarningDetector):
    """Detect that errors come closer together."""

    warm_start: int
    alpha: float
    beta: float
    def __init__(self, warm_start: int = 30, alpha: float = 0.95, beta: float = 0.9) -> None: ...
