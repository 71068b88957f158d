"""Online detectors a column at a time, against river a value at a time; the same outcomes asserted first.

Run: python -m pytest benchmarks/bench_core_online.py -s -o addopts=--import-mode=importlib
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from river import drift

from mlopsfw_core import online

sys.path.insert(0, str(Path(__file__).parent))
from core_peers import compare

SIZE = 100_000
rng = np.random.default_rng(11)
NUMBERS = {
    "stationary": rng.random(SIZE),
    "bits": (rng.random(SIZE) < 0.3).astype(float),
    "constant": np.full(SIZE, 0.5),
    "shifts": rng.random(SIZE) / 2 + (np.arange(SIZE) // 2000 % 2) / 2,
}
ERRORS = {
    "stationary": NUMBERS["bits"],
    "half": (rng.random(SIZE) < 0.5).astype(float),
    "shifts": (rng.random(SIZE) < 0.1 + 0.3 * (np.arange(SIZE) // 2000 % 2)).astype(float),
}
BINARY = drift.binary
PAIRS = {
    "ADWIN": (online.ADWIN, drift.ADWIN, NUMBERS, SIZE),
    "PageHinkley": (online.PageHinkley, drift.PageHinkley, NUMBERS, SIZE),
    "DDM": (online.DDM, BINARY.DDM, ERRORS, SIZE),
    "EDDM": (online.EDDM, BINARY.EDDM, ERRORS, SIZE),
    "HDDM_A": (online.HDDM_A, BINARY.HDDMA, ERRORS, SIZE),
    "HDDM_W": (online.HDDM_W, BINARY.HDDMW, ERRORS, SIZE),
    "FHDDM": (online.FHDDM, BINARY.FHDDM, ERRORS, SIZE),
    "KSWIN": (lambda: online.KSWIN(seed=1), lambda: drift.KSWIN(seed=1), NUMBERS, 2_000),
}
CASES = [(name, kind) for name, (_, _, kinds, _) in PAIRS.items() for kind in kinds]


def follow(detector, values):
    """Give river's detector the values one by one; return where it fired."""
    fired = []
    for row, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            fired.append(row)
    return fired


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_update_many(benchmark, name, kind):
    ours, theirs, kinds, size = PAIRS[name]
    column = kinds[kind][:size]
    values = column.tolist()  # river is fastest on Python floats
    assert ours().update_many(column).tolist() == follow(theirs(), values)
    compare(benchmark, lambda: ours().update_many(column), lambda: follow(theirs(), values), "river", rounds=3)


@pytest.mark.parametrize("name", PAIRS)
def test_update_one_by_one(benchmark, name):
    ours, theirs, kinds, size = PAIRS[name]
    values = kinds["stationary"][:size].tolist()
    assert follow(ours(), values) == follow(theirs(), values)
    compare(benchmark, lambda: follow(ours(), values), lambda: follow(theirs(), values), "river", rounds=2)
