"""Rates by group are fairlearn's, their intervals cover as often as they state, and groups that say nothing are left out and named."""

from __future__ import annotations

import numpy as np
import pytest

from mlopsfw.models.fairness import Numbers, Outcomes, groups_of, measure
from mlopsfw.models.registry.card_concerns import interval_text

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")
GAPS = (
    "demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference", "equalized_odds_ratio",
    "equal_opportunity_difference",
)  # fmt: skip
# fairlearn 0.15.0, MetricFrame and the functions of these names, on `rows()`: without weights, and with them.
FAIRLEARN = {
    False: (
        {"a": (0.5757575758, 0.8428571429, 0.2741935484, 0.7878787879),
         "b": (0.2962962963, 0.7058823529, 0.1584158416, 0.8074074074),
         "c": (0.3564356436, 0.7380952381, 0.0847457627, 0.8415841584)},
        (0.2794612795, 0.514619883, 0.1894477857, 0.3090727817, 0.1369747899),
    ),
    True: (
        {"a": (0.5625, 0.8302583026, 0.2614107884, 0.787109375),
         "b": (0.2888086643, 0.7121212121, 0.1563981043, 0.8122743682),
         "c": (0.345177665, 0.746835443, 0.0762711864, 0.8527918782)},
        (0.2736913357, 0.5134376254, 0.1851396019, 0.2917675545, 0.1181370905),
    ),
}  # fmt: skip


def rows():
    draw = np.random.default_rng(5)
    group = draw.choice(["a", "b", "c"], 500, p=[0.5, 0.3, 0.2])
    label = draw.random(500) < np.select([group == "a", group == "b"], [0.5, 0.3], 0.4)
    p = np.clip(draw.random(500) * 0.6 + 0.3 * label + 0.1 * (group == "a"), 0, 1)
    return group, Outcomes(label, p >= 0.5), draw.integers(1, 4, 500).astype(float)


@pytest.mark.parametrize("weighted", [False, True])
def test_rates_and_gaps_are_those_of_fairlearn(weighted):
    group, outcomes, weight = rows()
    groups = groups_of(group, fewest=1)
    judged = measure(outcomes, groups.codes, groups.names, np.arange(500), weight if weighted else None)
    rates, gaps = FAIRLEARN[weighted]
    for name, values in rates.items():
        assert [judged["groups"][name][rate]["value"] for rate in RATES] == pytest.approx(values, abs=1e-9)
    assert [judged[name]["value"] for name in GAPS] == pytest.approx(gaps, abs=1e-9)
    assert all(each["low"] <= each["value"] <= each["high"] for each in judged["groups"]["c"].values() if each != 101)


@pytest.mark.parametrize("simulations", [60, pytest.param(600, marks=pytest.mark.nightly)], ids=["push", "nightly"])
def test_the_interval_covers_the_difference_of_clustered_groups_as_often_as_it_states(simulations):
    draw, covered = np.random.default_rng(11), 0
    of_row = np.repeat(np.arange(40), 25)
    code = np.tile(np.arange(1000) % 2, 1)
    for _ in range(simulations):
        share = np.clip(np.where(code == 0, 0.6, 0.35) + draw.normal(0, 0.1, 40)[of_row], 0, 1)
        chosen = draw.random(1000) < share
        gap = measure(Outcomes(chosen, chosen), code, ["a", "b"], of_row, None)["demographic_parity_difference"]
        covered += gap["low"] <= 0.25 <= gap["high"]
    assert covered / simulations == pytest.approx(0.95, abs=0.07 if simulations == 60 else 0.03)


def test_a_group_without_positive_rows_takes_no_part_in_true_positive_rates():
    label = np.array([1, 1, 0, 0, 0, 0], dtype=bool)
    judged = measure(Outcomes(label, label), np.array([0, 0, 0, 1, 1, 1]), ["a", "b"], np.arange(6), None)
    assert "true_positive_rate" not in judged["groups"]["b"]
    assert not {"equal_opportunity_difference", "equalized_odds_difference"} & set(judged)
    assert judged["demographic_parity_difference"] == {"value": pytest.approx(2 / 3)}


def test_a_rate_that_no_replicate_changes_has_no_interval():
    none = np.zeros(60, dtype=bool)
    judged = measure(Outcomes(none, none), np.repeat([0, 1], 30), ["a", "b"], np.arange(60), None)
    assert judged["groups"]["a"]["selection_rate"] == {"value": 0.0}
    assert judged["demographic_parity_difference"] == {
        "value": 0.0,
        "low": 0.0,
    }  # so that a gate that asks for `low` has its answer
    assert interval_text(judged["demographic_parity_difference"]) == "0"


def test_small_groups_are_named_and_not_judged():
    groups = groups_of(np.array(["a"] * 5 + ["b"] * 2 + ["c"] * 3), fewest=3)
    assert (groups.names, groups.small, groups.left_out) == (["a", "c"], {"b": 2}, 1)
    assert groups.codes.tolist() == [0] * 5 + [-1] * 2 + [1] * 3


def test_a_regression_is_judged_by_its_errors():
    label = np.zeros(40)
    judged = measure(Numbers(label, np.repeat([1.0, -3.0], 20)), np.repeat([0, 1], 20), ["a", "b"], np.arange(40), None)
    assert judged["groups"]["b"]["mean_error"]["value"] == -3
    assert judged["mean_absolute_error_difference"]["value"] == 2
    assert judged["mean_answer_difference"]["value"] == 4
