"""Streams that detectors meet: stationary, abrupt, gradual, constant, tied, far from zero; and river's answer to them."""

from __future__ import annotations

import json

import numpy as np

from mlopsfw_core import online

LONGEST = 1500


def _level(rng, n):
    """Return a mean that stays, jumps or climbs."""
    kind = rng.integers(3)
    jump = np.arange(n) >= rng.integers(1, n + 1)
    return (np.zeros(n), jump * rng.normal(0, 2), np.linspace(0, rng.normal(0, 2), n))[kind]


NUMBERS = {
    "normal": lambda rng, n: rng.normal(size=n) + _level(rng, n),
    "uniform": lambda rng, n: rng.random(n) + _level(rng, n),
    "constant": lambda rng, n: np.full(n, rng.normal()),
    "ties": lambda rng, n: rng.integers(0, 3, n) + np.round(_level(rng, n)),
    "spread": lambda rng, n: rng.normal(size=n) * np.exp(_level(rng, n)),
    "offset": lambda rng, n: 1e9 + rng.normal(size=n) + _level(rng, n),
    "heavy": lambda rng, n: rng.standard_cauchy(n) + _level(rng, n),
}
ERRORS = {
    "stationary": lambda rng, n: rng.random(n) < rng.random(),
    "abrupt": lambda rng, n: rng.random(n) < np.where(np.arange(n) < rng.integers(1, n + 1), *rng.random(2)),
    "gradual": lambda rng, n: rng.random(n) < np.linspace(*rng.random(2), n),
    "never": lambda _, n: np.zeros(n),
    "always": lambda _, n: np.ones(n),
    "periodic": lambda rng, n: np.arange(n) % rng.integers(1, 20) == 0,
    "rare": lambda rng, n: rng.random(n) < 0.02 + 0.1 * (np.arange(n) > n // 2),
}

# Each detector, with arguments under which it fires on these streams.
MAKERS = {
    "ADWIN": (online.ADWIN, NUMBERS),
    "PageHinkley": (lambda: online.PageHinkley(threshold=5), NUMBERS),
    "KSWIN": (lambda: online.KSWIN(seed=3), NUMBERS),
    "DDM": (online.DDM, ERRORS),
    "EDDM": (lambda: online.EDDM(warm_start=10), ERRORS),
    "HDDM_A": (lambda: online.HDDM_A(two_sided_test=True), ERRORS),
    "HDDM_W": (lambda: online.HDDM_W(two_sided_test=True), ERRORS),
    "FHDDM": (lambda: online.FHDDM(short_window_size=25), ERRORS),
    "BettingMeanDetector": (lambda: online.BettingMeanDetector((-0.1, 0.1), 100, (-3, 4)), NUMBERS),
    "ProportionDetector": (lambda: online.ProportionDetector((0.2, 0.3), 100), ERRORS),
    "QuantileShiftDetector": (lambda: online.QuantileShiftDetector([-1, 0.5], [(0.1, 0.3), (0.5, 0.7)], 50), NUMBERS),
}


def stream(kinds, seed, longest=LONGEST):
    """Draw a generator and one stream of a dict's kinds, taken in turn."""
    rng = np.random.default_rng(seed)
    make = kinds[list(kinds)[seed % len(kinds)]]
    return rng, make(rng, int(rng.integers(1, longest))).astype(float)


def follow(peer, values):
    """Give river's detector the values one by one; return where it detected, and where it warned."""
    drifts, warnings = [], []
    for row, value in enumerate(values.tolist()):
        peer.update(value)
        if peer.drift_detected:
            drifts.append(row)
        if getattr(peer, "warning_detected", False):
            warnings.append(row)
    return drifts, warnings


def through_json(detector):
    """Write a detector down as strict JSON and resume it."""
    return type(detector).from_dict(json.loads(json.dumps(detector.to_dict(), allow_nan=False)))


def one_by_one(detector, values):
    """Return where a detector fires when it takes a value at a time."""
    fired = []
    for row, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            fired.append(row)
    return fired
