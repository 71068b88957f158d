"""Change detectors for streams of numbers: a value at a time, or a column at a time without the GIL.

`ADWIN` and its kin carry river's names, arguments and outcomes. All of them resume exactly from `to_dict`.
"""

from __future__ import annotations

from ._detector import Detector, Signals, WarningDetector
from .adwin import ADWIN

__all__ = ["ADWIN", "Detector", "Signals", "WarningDetector"]
