"""Stored states of the online detectors: each is refused with ValueError, or is a state that runs and is written down again."""

from __future__ import annotations

import atheris
import numpy as np
from inputs import floats, tampered

from mlopsfw_core import online

STREAM = np.tile([0.0, 1.0, 1.0, 0.0, 0.0, 1.0], 20)
MAKERS = (
    online.ADWIN,
    online.PageHinkley,
    lambda: online.KSWIN(window_size=20, stat_size=5, seed=3),
    online.DDM,
    lambda: online.EDDM(warm_start=3),
    lambda: online.HDDM_A(two_sided_test=True),
    lambda: online.HDDM_W(two_sided_test=True),
    lambda: online.FHDDM(sliding_window_size=30, short_window_size=10),
    lambda: online.BettingMeanDetector((0.4, 0.6), 100),
    lambda: online.ProportionDetector((0.4, 0.6), 100),
    lambda: online.QuantileShiftDetector([0.0, 0.5], [(0.1, 0.3), (0.5, 0.7)], 50),
)


def _started(make):
    detector = make()
    detector.update_many(STREAM)
    return type(detector), detector.to_dict()


STATES = [_started(make) for make in MAKERS]


def test_one(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    cls, state = STATES[data.ConsumeIntInRange(0, len(STATES) - 1)]
    try:
        detector = cls.from_dict(tampered(data, state))
    except ValueError:
        return
    try:
        detector.update_many(floats(data))
    except ValueError:  # losses beyond [0, 1] are refused
        detector.update_many(STREAM)
    assert cls.from_dict(detector.to_dict()).to_dict() == detector.to_dict()
