"""Rows that cluster do not raise the rate of false alarms above what was asked for, and independent rows lose little by the test."""

from __future__ import annotations

import numpy as np
import pytest

from mlopsfw_core import Reference, compare_table, design_effect

SHARES = np.log([0.4, 0.3, 0.2, 0.1])


def days(rng, count, rows, spread):
    """Rows of so many days; each day has a level and a mix of categories of its own."""
    day = np.repeat(np.arange(count), rows)
    number = rng.normal(0, spread, count)[day] + rng.normal(0, 1, day.size)
    weights = np.exp(SHARES + rng.normal(0, spread, (count, 4)))
    cumulated = np.cumsum(weights / weights.sum(1, keepdims=True), axis=1)
    category = (rng.random(day.size)[:, None] > cumulated[day]).sum(1)
    return day, {"number": number, "category": np.array(list("abcd"))[category].tolist()}


def alarms(rng, count, spread, *, corrected, trials=150):
    found = 0
    for _ in range(trials):
        references = {name: Reference.fit(column, name=name) for name, column in days(rng, 60, 100, spread)[1].items()}
        day, table = days(rng, count, 100, spread)
        effects = {n: design_effect(r, table[n], day) for n, r in references.items()} if corrected else None
        drifts = compare_table(references, table, alpha=0.05, threshold=0.0, design_effects=effects)
        found += any(d.drifted for d in drifts)
    return found / trials


@pytest.mark.parametrize("count", [14, 28])
def test_clustered_rows_without_drift_alarm_no_more_often_than_asked(count):
    rng = np.random.default_rng(7)
    assert alarms(rng, count, 0.3, corrected=False) > 0.5  # what the correction is for
    assert alarms(rng, count, 0.3, corrected=True) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def test_independent_rows_have_a_design_effect_near_one():
    rng = np.random.default_rng(3)
    day, table = days(rng, 30, 200, 0.0)
    for name, column in table.items():
        assert 1.0 <= design_effect(Reference.fit(column, name=name), column, day) < 3.0


def test_identical_rows_within_a_group_count_as_one():
    groups = np.repeat(np.arange(200), 50)
    values = np.random.default_rng(5).normal(size=200)[groups]
    assert 35 < design_effect(Reference.fit(values), values, groups) < 90


def test_a_real_change_is_found_through_the_clustering():
    rng = np.random.default_rng(11)
    references = {name: Reference.fit(c, name=name) for name, c in days(rng, 60, 100, 0.2)[1].items()}
    day, table = days(rng, 28, 100, 0.2)
    table["number"] = table["number"] + 0.5
    effects = {name: design_effect(reference, table[name], day) for name, reference in references.items()}
    first = compare_table(references, table, design_effects=effects)[0]
    assert (first.column, first.drifted) == ("number", True)


def test_few_groups_nulls_and_empty_columns_have_an_answer():
    reference = Reference.fit([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    assert design_effect(reference, [1.0, 2.0, 3.0, 4.0], np.array([0, 0, 1, 1])) == 1.0
    nothing = [None] * 20
    assert design_effect(reference, nothing, np.repeat(np.arange(10), 2)) == 1.0
    assert design_effect(Reference.fit(["a", "b"]), nothing, np.repeat(np.arange(10), 2)) == 1.0
