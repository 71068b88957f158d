"""The detectors with a stated rate promise it: measured false alarms stay below the budget, and shifts are found.

The e-SR recursion is compared with its definition, a sum over every row at which the change may have come.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlopsfw_core.online import BettingMeanDetector, ProportionDetector, QuantileShiftDetector, e_benjamini_hochberg
from mlopsfw_core.online._betting import bets_above
from mlopsfw_core.online._intervals import mean_interval, relative_entropy, share_interval

ARL = 1000.0
ROWS = 10_000


def bits(p):
    return lambda rng, n: (rng.random(n) < p).astype(float)


def clustered(rng, n):
    """Dependent rows whose mean given the past is 1/2 all the same: the spread depends on the row before."""
    noise = rng.random(n) - 0.5
    return 0.5 + noise * np.where(np.r_[0, noise[:-1]] > 0, 1.0, 0.2)


# What is given to the detector as known, and a stream of which that is true.
KNOWN = {
    "mean of uniform": (lambda _: BettingMeanDetector(0.5, ARL), lambda rng, n: rng.random(n)),
    "mean of rare losses": (lambda _: BettingMeanDetector(0.02, ARL), bits(0.02)),
    "mean of scaled beta": (lambda _: BettingMeanDetector(-4, ARL, (-5, 0)), lambda rng, n: 5 * rng.beta(1, 4, n) - 5),
    "mean of constants": (lambda _: BettingMeanDetector(0.3, ARL), lambda _, n: np.full(n, 0.3)),
    "mean of dependent rows": (lambda _: BettingMeanDetector(0.5, ARL), clustered),
    "proportion": (lambda _: ProportionDetector(0.3, ARL), bits(0.3)),
    "rare proportion": (lambda _: ProportionDetector(0.001, ARL), bits(0.001)),
    "certain proportion": (lambda _: ProportionDetector(1.0, ARL), bits(1.0)),
    "quantiles": (lambda _: QuantileShiftDetector([0.1, 0.5, 0.9], [(p, p) for p in (0.1, 0.5, 0.9)], ARL), lambda rng, n: rng.random(n)),
    "quantiles of atoms": (lambda _: QuantileShiftDetector([0, 1], [(0.25, 0.25), (0.5, 0.5)], ARL), lambda rng, n: rng.integers(0, 4, n)),
}  # fmt: skip
# A fresh reference sample for each stream.
SAMPLED = {
    "mean": (lambda rng: BettingMeanDetector.against(rng.random(500), ARL), lambda rng, n: rng.random(n)),
    "mean of tiny references": (lambda rng: BettingMeanDetector.against(bits(0.1)(rng, 20), ARL), bits(0.1)),
    "proportion": (lambda rng: ProportionDetector.against(int(rng.binomial(500, 0.2)), 500, ARL), bits(0.2)),
    "quantiles": (lambda rng: QuantileShiftDetector.against(rng.normal(size=500), ARL), lambda rng, n: rng.normal(size=n)),
    "quantiles of atoms": (lambda rng: QuantileShiftDetector.against(rng.poisson(1, 300), ARL), lambda rng, n: rng.poisson(1, n)),
    "quantiles of heavy tails": (lambda rng: QuantileShiftDetector.against(rng.standard_cauchy(300), ARL), lambda rng, n: rng.standard_cauchy(n)),
}  # fmt: skip


def assert_within_budget(make, draw, streams):
    rng = np.random.default_rng(20)
    alarms = np.array([len(make(rng).update_many(draw(rng, ROWS))) for _ in range(streams)])
    assert alarms.mean() <= ROWS / ARL + 3 * alarms.std() / np.sqrt(streams)


@pytest.mark.parametrize("known", KNOWN)
def test_alarms_stay_within_the_budget(known):
    assert_within_budget(*KNOWN[known], streams=200)


@pytest.mark.parametrize("sampled", SAMPLED)
def test_alarms_against_a_sample_stay_within_the_budget(sampled):
    assert_within_budget(*SAMPLED[sampled], streams=200)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "case", [*KNOWN.values(), *SAMPLED.values()], ids=[*KNOWN, *(f"sampled {name}" for name in SAMPLED)]
)
def test_alarms_stay_within_the_budget_over_2000_streams(case):
    assert_within_budget(*case, streams=2000)


@pytest.mark.parametrize("known", KNOWN)
def test_e_values_hold_whenever_they_are_looked_at(known):
    rng = np.random.default_rng(21)
    make, draw = KNOWN[known]
    crossed, final = 0, []
    for _ in range(400):
        detector, highest = make(rng), 0.0
        for value in draw(rng, 150).tolist():
            detector.update(value)
            highest = max(highest, detector.e_value)
        crossed += highest >= 10
        final.append(detector.e_value)
    assert crossed / 400 <= 0.1 + 3 * np.sqrt(0.09 / 400)
    assert np.mean(final) <= 1 + 4 * np.std(final) / 20


@pytest.mark.parametrize("shift", [0.05, 0.1, 0.2])
def test_shifts_are_found_sooner_than_the_information_bound_times_three(shift):
    """The bound is ln(arl) / kl, here by the variance of the uniform: ln(arl) 2 var / shift^2."""
    rng = np.random.default_rng(22)
    bound = np.log(ARL) * 2 / 12 / shift**2
    for make in (lambda: BettingMeanDetector(0.5, ARL, (0, 1.5)), lambda: BettingMeanDetector(1.0, ARL, (-0.3, 1.5))):
        base = make().mean[0]
        delays = []
        for _ in range(60):
            detector = make()
            detector.update_many(base + rng.random(300) - 0.5)
            detector.reset()
            sign = 1 if base < 0.7 else -1
            delays.append(detector.update_many(base + sign * shift + rng.random(20_000) - 0.5)[0])
        assert np.median(delays) < 3 * bound


def test_a_changed_shape_is_found_where_the_mean_stays():
    rng = np.random.default_rng(23)
    detector = QuantileShiftDetector.against(rng.normal(size=5000), 10_000)
    assert not detector.update_many(rng.normal(size=3000)).size
    assert detector.update_many(3 * rng.normal(size=1000))[0] < 300


def test_a_shift_within_the_tolerance_is_no_change():
    rng = np.random.default_rng(24)
    reference, shifted = rng.random(20_000), rng.random(200_000) * 0.9 + 0.08
    assert BettingMeanDetector.against(reference).update_many(shifted).size
    assert not BettingMeanDetector.against(reference, tolerance=0.05).update_many(shifted).size
    ones = bits(0.22)(rng, 100_000)
    assert ProportionDetector.against(4000, 20_000).update_many(ones).size
    assert not ProportionDetector.against(4000, 20_000, tolerance=0.03).update_many(ones).size
    assert not QuantileShiftDetector.against(reference, tolerance=0.1).update_many(shifted).size


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=1, max_size=25), st.floats(0.05, 0.95))
def test_the_recursion_is_the_sum_over_rows_of_the_change(values, mean):
    detector = BettingMeanDetector(mean, 1e14)
    fired = detector.update_many(values)
    values = values[fired[-1] + 1 :] if fired.size else values  # a detection starts anew
    assume(values)
    stakes = [*bets_above(mean), *(-stake for stake in bets_above(1 - mean))]
    factors = np.array([[1 + stake * (value - mean) for value in values] for stake in stakes])
    since = np.cumprod(factors[:, ::-1], axis=1)[:, ::-1]  # the product from each row on
    rows = np.arange(1, len(values) + 1)
    moved = np.array([True, *(value != mean for value in values[:-1])])
    assert detector.evidence == pytest.approx((since * moved).sum(axis=1).mean(), rel=1e-9)
    expected = (since / (rows * (rows + 1))).sum(axis=1).mean() + 1 / (len(values) + 1)
    assert detector.e_value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: BettingMeanDetector(0.3, 100), 0.3), (lambda: BettingMeanDetector(-4, 100, (-5, 7)), -4),
        (lambda: ProportionDetector(0.0, 100), 0), (lambda: ProportionDetector(1.0, 100), 1),
        (lambda: BettingMeanDetector.against([0.3] * 20, 100), 0.3), (lambda: BettingMeanDetector.against([0.3], 100), 0.9),
        (lambda: QuantileShiftDetector.against([2.0] * 50, 100), 2.0), (lambda: ProportionDetector.against(0, 0, 100), 1),
    ],
)  # fmt: skip
def test_what_stands_still_or_cannot_be_told_never_alarms(make, value):
    assert not make().update_many([value] * 5000).size


def test_what_stood_still_is_found_as_soon_as_it_moves():
    assert ProportionDetector(0.0).update_many([0] * 5000 + [1])[0] == 5000


def test_values_beyond_the_bounds_count_as_the_bounds():
    inside, beyond = BettingMeanDetector(0.5), BettingMeanDetector(0.5)
    inside.update_many([0.0, 1.0, 0.3])
    beyond.update_many([-np.inf, 7.0, 0.3])
    assert inside.to_dict() == beyond.to_dict()


@pytest.mark.parametrize(
    "count", [pytest.param(500, id="push"), pytest.param(2000, id="nightly", marks=pytest.mark.nightly)]
)
@pytest.mark.parametrize("error", [0.05, 0.3])
def test_intervals_hold_what_they_state(error, count):
    rng = np.random.default_rng(25)
    for p in (0.001, 0.2, 0.5, 1.0):
        for n in (5, 100, 2000):
            ones = rng.binomial(n, p, count)
            missed = np.mean([not low <= p <= high for low, high in (share_interval(int(k), n, error) for k in ones)])
            assert missed <= error + 3 * np.sqrt(error / count)
    missed = np.mean(
        [not low <= 0.2 <= high for low, high in (mean_interval(rng.beta(1, 4, 200), error) for _ in range(count))]
    )
    assert missed <= error + 3 * np.sqrt(error / count)


@given(st.integers(0, 50), st.integers(0, 50))
def test_share_intervals_are_chernoffs(ones, others):
    rows = ones + others
    low, high = share_interval(ones, rows, 0.01)
    assert 0 <= low <= (ones / rows if rows else 0) <= high <= 1
    for edge in (low, high):
        if 0 < edge < 1:
            assert rows * relative_entropy(ones / rows, edge) == pytest.approx(np.log(200), rel=1e-6)


def plain_e_bh(values, alpha):
    order = sorted(range(len(values)), key=lambda i: -values[i])
    most = max((k for k in range(1, len(values) + 1) if k * values[order[k - 1]] * alpha >= len(values)), default=0)
    return {i for i, value in enumerate(values) if most and value >= values[order[most - 1]]}


@given(st.lists(st.floats(0, 1e4), max_size=30), st.sampled_from([0.01, 0.05, 0.5, 1.0]))
def test_e_bh_is_its_definition(values, alpha):
    assert set(np.flatnonzero(e_benjamini_hochberg(values, alpha)).tolist()) == plain_e_bh(values, alpha)


def test_e_bh_keeps_its_false_discovery_rate_over_columns_watched_together():
    rng = np.random.default_rng(26)
    false, found = [], 0
    for _ in range(200):
        detectors = [ProportionDetector(0.3, 1e12) for _ in range(20)]
        for column, detector in enumerate(detectors):
            detector.update_many(bits(0.3 if column < 15 else 0.55)(rng, 150))
        chosen = e_benjamini_hochberg([detector.e_value for detector in detectors], 0.1)
        false.append(chosen[:15].sum() / max(1, chosen.sum()))
        found += chosen[15:].sum()
    assert np.mean(false) <= 0.1 + 3 * np.std(false) / np.sqrt(200)
    assert found > 500


def test_e_bh_reads_missing_evidence_as_none():
    assert e_benjamini_hochberg([None, 1e9, np.nan, np.inf]).tolist() == [False, True, False, True]
    assert e_benjamini_hochberg([]).tolist() == []
    for wrong in ({"e_values": [-1.0]}, {"e_values": [1.0], "alpha": 0}):
        with pytest.raises(ValueError, match="e_benjamini_hochberg"):
            e_benjamini_hochberg(**wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: BettingMeanDetector(2), lambda: BettingMeanDetector((0.6, 0.4)), lambda: BettingMeanDetector(0.5, 1),
        lambda: BettingMeanDetector(0.5, bounds=(1, 1)), lambda: BettingMeanDetector(float("nan")),
        lambda: BettingMeanDetector(0.5, bounds=(0, np.inf)), lambda: ProportionDetector(-0.1),
        lambda: ProportionDetector.against(5, 4), lambda: QuantileShiftDetector([], []),
        lambda: QuantileShiftDetector([1, 1], [(0, 1), (0, 1)]), lambda: QuantileShiftDetector([1], []),
        lambda: QuantileShiftDetector.against([1.0, np.nan, 2.0, None, 3.0]),
    ],
)  # fmt: skip
def test_arguments_without_meaning_are_refused(make):
    with pytest.raises(ValueError, match=r"means|bounds|ones|thresholds|rows"):
        make()
