"""Change detectors for streams of numbers: a value at a time, or a column at a time without the GIL.

`ADWIN` and its kin carry river's names, arguments and outcomes. All of them resume exactly from `to_dict`.
"""

from __future__ import annotations

from ._detector import Detector, Signals, WarningDetector
from .adwin import ADWIN
from .ddm import DDM
from .eddm import EDDM
from .fhddm import FHDDM
from .hddm_a import HDDM_A
from .hddm_w import HDDM_W
from .kswin import KSWIN
from .page_hinkley import PageHinkley

__all__ = [
    "ADWIN",
    "DDM",
    "EDDM",
    "FHDDM",
    "HDDM_A",
    "HDDM_W",
    "KSWIN",
    "Detector",
    "PageHinkley",
    "Signals",
    "WarningDetector",
]
