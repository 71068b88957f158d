"""Change detectors for streams of numbers: a value at a time, or a column at a time without the GIL.

`ADWIN` and its kin carry river's names, arguments and outcomes. `BettingMeanDetector`,
`ProportionDetector` and `QuantileShiftDetector` state a rate of false alarms and keep it; `e_benjamini_hochberg` selects among their
e-values over many columns. All of them resume exactly from `to_dict`.
"""

from __future__ import annotations

from ._detector import Detector, Signals, WarningDetector
from .adwin import ADWIN
from .ddm import DDM
from .e_bh import e_benjamini_hochberg
from .eddm import EDDM
from .fhddm import FHDDM
from .hddm_a import HDDM_A
from .hddm_w import HDDM_W
from .kswin import KSWIN
from .mean_betting import BettingMeanDetector
from .page_hinkley import PageHinkley
from .proportion import ProportionDetector
from .quantile_shift import QuantileShiftDetector

__all__ = [
    "ADWIN",
    "DDM",
    "EDDM",
    "FHDDM",
    "HDDM_A",
    "HDDM_W",
    "KSWIN",
    "BettingMeanDetector",
    "Detector",
    "PageHinkley",
    "ProportionDetector",
    "QuantileShiftDetector",
    "Signals",
    "WarningDetector",
    "e_benjamini_hochberg",
]
