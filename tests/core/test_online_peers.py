"""The detectors that river has promise river's outcomes: detections, warnings, at the same rows, on thousands of streams by night."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from online_streams import ERRORS, NUMBERS, follow, stream
from river import drift
from scipy import stats

from mlopsfw_core import online


def page_hinkley(rng):
    mode = ("both", "up", "down")[rng.integers(3)]
    return {"min_instances": int(rng.choice([1, 30, 100])), "delta": float(rng.choice([0.005, 0.5])),
            "threshold": float(rng.choice([5, 50])), "alpha": float(rng.choice([0.9999, 0.99, 1])), "mode": mode}  # fmt: skip


def ddm(rng):
    return {
        "warm_start": int(rng.choice([1, 30, 100])),
        "warning_threshold": 1.5,
        "drift_threshold": float(rng.choice([2, 3])),
    }


def eddm(rng):
    return {"warm_start": int(rng.choice([5, 30])), "alpha": 0.97, "beta": float(rng.choice([0.9, 0.95]))}


def hddm(rng):
    return {
        "drift_confidence": float(rng.choice([0.001, 0.05])),
        "warning_confidence": 0.1,
        "two_sided_test": bool(rng.integers(2)),
    }


def hddm_w(rng):
    return {**hddm(rng), "lambda_val": float(rng.choice([0.05, 0.5, 0, 1]))}


def fhddm(rng):
    size = int(rng.choice([10, 100]))
    short = (None, 1, size // 2, size)[rng.integers(4)]
    return {
        "sliding_window_size": size,
        "confidence_level": float(rng.choice([1e-6, 0.01, 0.2])),
        "short_window_size": short,
    }


BINARY = drift.binary
PAIRS = {
    "PageHinkley": (online.PageHinkley, drift.PageHinkley, NUMBERS, page_hinkley),
    "DDM": (online.DDM, BINARY.DDM, ERRORS, ddm),
    "EDDM": (online.EDDM, BINARY.EDDM, ERRORS, eddm),
    "HDDM_A": (online.HDDM_A, BINARY.HDDMA, ERRORS, hddm),
    "HDDM_W": (online.HDDM_W, BINARY.HDDMW, ERRORS, hddm_w),
    "FHDDM": (online.FHDDM, BINARY.FHDDM, ERRORS, fhddm),
}


def signals(detector, values):
    if isinstance(detector, online.WarningDetector):
        drifts, warnings = detector.update_many_with_warnings(values)
        return drifts.tolist(), warnings.tolist()
    return detector.update_many(values).tolist(), []


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    "streams", [pytest.param(210, id="push"), pytest.param(1050, id="nightly", marks=pytest.mark.nightly)]
)
def test_every_outcome_is_rivers(name, streams):
    ours, theirs, kinds, arguments = PAIRS[name]
    fired = 0
    for seed in range(streams):
        rng, values = stream(kinds, seed, 800)
        chosen = arguments(rng) if seed % 4 else {}
        expected = follow(theirs(**chosen), values)
        assert signals(ours(**chosen), values) == expected, (seed, chosen)
        fired += len(expected[0])
    assert fired > 20


@pytest.mark.parametrize("name", ["DDM", "HDDM_A", "HDDM_W"])
def test_losses_between_0_and_1_give_rivers_outcomes(name):
    ours, theirs, _, arguments = PAIRS[name]
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values = rng.random(500) ** np.where(np.arange(500) < 250, 3, 0.5)
        chosen = arguments(rng)
        assert signals(ours(**chosen), values) == follow(theirs(**chosen), values)


def test_fhddm_counts_ones_as_river_does():
    values = ERRORS["abrupt"](np.random.default_rng(1), 700)
    ours, theirs = online.FHDDM(), BINARY.FHDDM()
    for value in values.tolist():
        ours.update(value)
        theirs.update(value)
        assert ours.n_one == theirs.n_one


@pytest.mark.parametrize("sizes", [(100, 30), (60, 30), (12, 3), (1200, 5), (3000, 20)])
def test_seeded_kswin_draws_and_decides_as_river(sizes):
    window_size, stat_size = sizes
    for seed in range(4):
        rng, values = stream(NUMBERS, seed + window_size, 300)
        values = np.concatenate([rng.normal(size=max(0, window_size - 30)), values])
        chosen = {"alpha": 0.02, "window_size": window_size, "stat_size": stat_size, "seed": seed}
        ours, theirs = online.KSWIN(**chosen), drift.KSWIN(**chosen)
        assert signals(ours, values) == follow(theirs, values)
        assert ours.window == list(theirs.window)
        assert ours.n == theirs.n
        assert ours.p_value == pytest.approx(theirs.p_value, abs=1e-12)


def test_kswin_starts_from_a_given_window_and_takes_infinities_for_values():
    rng = np.random.default_rng(3)
    start, values = rng.normal(size=130).tolist(), rng.normal(size=200)
    values[[5, 50]], values[[9, 90]] = np.inf, -np.inf
    ours, theirs = online.KSWIN(seed=5, window=start), drift.KSWIN(seed=5, window=start)
    assert signals(ours, values) == follow(theirs, values)


def test_nan_in_kswins_first_window_is_passed_over():
    start = np.random.default_rng(6).normal(size=100).tolist()
    holed = [*start[:50], float("nan"), *start[50:]]
    assert online.KSWIN(seed=1, window=holed).window == start
    state = online.KSWIN(seed=1, window=start).to_dict()
    state["state"]["window"][7] = "nan"
    with pytest.raises(ValueError, match="window"):
        online.KSWIN.from_dict(state)


def test_unseeded_kswin_alarms_at_rivers_rate():
    values = np.random.default_rng(4).normal(size=30_000)
    seeds = random.Random(1)
    unseeded = [len(online.KSWIN().update_many(values)) for _ in range(20)]
    seeded = [len(online.KSWIN(seed=seeds.getrandbits(40)).update_many(values)) for _ in range(20)]
    assert stats.mannwhitneyu(unseeded, seeded).pvalue > 1e-4
    assert len(set(unseeded)) > 1


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (online.PageHinkley, {"mode": "sideways"}), (online.EDDM, {"alpha": 0.8}), (online.HDDM_A, {"drift_confidence": 0}),
        (online.HDDM_W, {"warning_confidence": 1}), (online.HDDM_W, {"lambda_val": 2}), (online.FHDDM, {"sliding_window_size": 0}),
        (online.FHDDM, {"short_window_size": 101}), (online.FHDDM, {"confidence_level": 0}), (online.KSWIN, {"alpha": 2}),
        (online.KSWIN, {"window_size": 40}), (online.KSWIN, {"stat_size": 0}),
        *((online.PageHinkley, {name: math.nan}) for name in ("delta", "threshold", "alpha")),
        *((online.DDM, {name: math.nan}) for name in ("warning_threshold", "drift_threshold")),
        *((online.EDDM, {name: math.nan}) for name in ("alpha", "beta")),
    ],
)  # fmt: skip
def test_arguments_without_meaning_are_refused(make, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[-1]):
        make(**wrong)


@pytest.mark.parametrize("name", ["DDM", "EDDM", "HDDM_A", "HDDM_W", "FHDDM"])
@pytest.mark.parametrize("wrong", [1.5, -1, np.inf, -np.inf])
def test_what_is_no_error_is_refused_before_anything_changes(name, wrong):
    detector = PAIRS[name][0]()
    before = detector.to_dict()
    with pytest.raises(ValueError, match="row 2"):
        detector.update_many([0, 1, wrong])
    with pytest.raises(ValueError, match="row 0"):
        detector.update(wrong)
    assert detector.to_dict() == before


@pytest.mark.parametrize("name", ["EDDM", "FHDDM"])
def test_a_half_error_is_refused(name):
    with pytest.raises(ValueError, match="row 1"):
        PAIRS[name][0]().update_many([0, 0.5])
