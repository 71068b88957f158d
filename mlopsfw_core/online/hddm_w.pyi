from typing import final

from ._detector import WarningDetector

@final
class HDDM_W(WarningDetector):  # noqa: N801 - the field's name
    """Detect a change of mean by McDiarmid's bound."""

    drift_confidence: float
    warning_confidence: float
    lambda_val: float
    two_sided_test: bool
    def __init__(
        self,
        drift_confidence: float = 0.001,
        warning_confidence: float = 0.005,
        lambda_val: float = 0.05,
        two_sided_test: bool = False,
    ) -> None: ...
