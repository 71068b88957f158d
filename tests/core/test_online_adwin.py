"""ADWIN promises river's cuts at river's rows, with river's sums, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from online_streams import NUMBERS, follow, stream
from river import drift

from mlopsfw_core.online import ADWIN

PROPERTIES = ("drift_detected", "width", "total", "variance", "estimation", "n_detections")


def arguments(rng):
    return {
        "delta": float(rng.choice([0.002, 0.05, 0.3, 1])),
        "clock": int(rng.choice([1, 7, 32])),
        "max_buckets": int(rng.choice([2, 3, 5, 9])),
        "min_window_length": int(rng.choice([1, 5, 20])),
        "grace_period": int(rng.choice([0, 10, 100])),
    }


def assert_equal_to_river(values, **chosen):
    ours, theirs = ADWIN(**chosen), drift.ADWIN(**chosen)
    assert ours.update_many(values).tolist() == follow(theirs, values)[0]
    assert [getattr(ours, name) for name in PROPERTIES] == [getattr(theirs, name) for name in PROPERTIES]


@pytest.mark.parametrize("part", range(7))
def test_every_cut_and_sum_is_rivers(part):
    for seed in range(part, 2100, 7):
        rng, values = stream(NUMBERS, seed)
        assert_equal_to_river(values, **(arguments(rng) if seed % 3 else {}))


@pytest.mark.parametrize("scale", [1e-300, 1e-8, 1.0, 1e150])
def test_the_screen_before_the_bound_passes_over_no_cut(scale):
    rng = np.random.default_rng(3)
    for shift in (0.0, 0.1, 1.0):
        values = scale * (rng.normal(size=6000) + shift * (np.arange(6000) // 1500))
        assert_equal_to_river(values, delta=0.3, clock=1)


def test_a_long_window_is_rivers():
    values = np.random.default_rng(4).random(120_000)
    assert_equal_to_river(values)
    assert_equal_to_river(values + 1e12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"delta": 0},
        {"delta": float("nan")},
        {"clock": 0},
        {"max_buckets": 1},
        {"min_window_length": 0},
        {"grace_period": -1},
    ],
)
def test_arguments_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match=r"ADWIN|delta"):
        ADWIN(**wrong)


def test_infinities_and_nan_are_no_observations():
    values = np.random.default_rng(5).random(500)
    holed = np.insert(values, [3, 90, 91, 400], [np.nan, np.inf, -np.inf, np.nan])
    plain, passed = ADWIN(), ADWIN()
    plain.update_many(values)
    passed.update_many(holed)
    assert passed.to_dict() == plain.to_dict()


def damage(state, **changes):
    return {**state, "state": {**state["state"], **changes}}


def test_damaged_buckets_are_refused():
    detector = ADWIN()
    detector.update_many(np.random.default_rng(6).random(100))
    kept = detector.to_dict()
    buckets = kept["state"]["buckets"]
    for wrong in (
        damage(kept, buckets=[]),
        damage(kept, buckets=[buckets[0] * 9, *buckets[1:]]),
        damage(kept, buckets=buckets[:-1], levels=len(buckets) - 1),
        damage(kept, levels=10**6),
        damage(kept, width=1e300),
        damage(kept, tick=-1),
        damage(kept, buckets=[[["x", "y"]] * len(buckets[0]), *buckets[1:]]),
        damage(kept, buckets=[[[1.0]] * len(buckets[0]), *buckets[1:]]),
        damage(kept, buckets=7),
    ):
        with pytest.raises(ValueError, match="damaged ADWIN state"):
            ADWIN.from_dict(wrong)
