from typing import final

from ._detector import WarningDetector

@final
class HDDM_A(WarningDetector):  # noqa: N801 - the field's name
    """Detect a change of mean by Hoeffding's bound."""

    drift_confidence: float
    warning_confidence: float
    two_sided_test: bool
    def __init__(
        self, drift_confidence: float = 0.001, warning_confidence: float = 0.005, two_sided_test: bool = False
    ) -> None: ...
