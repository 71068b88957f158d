"""River's detectors promise the alarms that their papers define, by a second implementation that keeps no state."""

from __future__ import annotations

from functools import partial

import online_twins as twins
import pytest
from online_streams import ERRORS, NUMBERS, stream

from mlopsfw_core import online

TWINS = {
    "ADWIN": (online.ADWIN, twins.adwin, NUMBERS),
    "PageHinkley": (lambda: online.PageHinkley(threshold=5), partial(twins.page_hinkley, threshold=5), NUMBERS),
    "KSWIN": (
        lambda: online.KSWIN(0.01, 40, 10, seed=3),
        partial(twins.kswin, size=40, newest=10, alpha=0.01, seed=3),
        NUMBERS,
    ),
    "DDM": (online.DDM, twins.ddm, ERRORS),
    "EDDM": (online.EDDM, twins.eddm, ERRORS),
    "HDDM_A": (lambda: online.HDDM_A(0.05, 0.1), partial(twins.hddm_a, confidence=0.05), ERRORS),
    "HDDM_W": (lambda: online.HDDM_W(0.05, 0.1), partial(twins.hddm_w, confidence=0.05), ERRORS),
    "FHDDM": (lambda: online.FHDDM(30, 0.01), partial(twins.fhddm, size=30, confidence=0.01), ERRORS),
}


@pytest.mark.parametrize("name", TWINS)
def test_alarms_are_the_papers(name):
    make, first, kinds = TWINS[name]
    fired = 0
    for seed in range(105):
        if kinds is NUMBERS and list(kinds)[seed % len(kinds)] == "offset":
            continue  # near 1e9 a running mean and a sum over rows differ by more than the deviations do
        _, values = stream(kinds, seed, 600)
        expected = twins.alarms(first, values.tolist())
        assert make().update_many(values).tolist() == expected, seed
        fired += len(expected)
    assert fired > 20
