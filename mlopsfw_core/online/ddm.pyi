from typing import final

from ._detector import WarningDetector

@final
class DDM(WarningDetector):
    """Detect that a model errs more."""

    warm_start: int
    warning_threshold: float
    drift_threshold: float
    def __init__(self, warm_start: int = 30, warning_threshold: float = 2.0, drift_threshold: float = 3.0) -> None: ...
