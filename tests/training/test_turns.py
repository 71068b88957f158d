"""Whose trial is next: every trainer begins, the best so far gets the largest share, and nothing begins that cannot end."""

from __future__ import annotations

import math

from mlopsfw.training.search.turns import Turns


def spent(costs, values, budget):
    """Return what trainers of constant costs and values have spent of a budget."""
    turns, total = Turns(costs), dict.fromkeys(costs, 0.0)
    while (name := turns.next(budget - sum(total.values()))) is not None:
        turns.begin(name)
        turns.end(name, costs[name], values[name])
        total[name] += costs[name]
    return total


def test_each_trainer_begins_and_then_the_best_gets_the_largest_share_of_the_time():
    total = spent({"slow": 10.0, "quick": 1.0, "poor": 1.0}, {"slow": 0.7, "quick": 0.9, "poor": 0.5}, 200.0)
    assert 95 < total["quick"] < 125
    assert 45 < total["slow"] < 65
    assert 30 < total["poor"] < 45


def test_no_trial_begins_that_is_likely_to_cost_more_than_is_left():
    assert spent({"slow": 10.0, "quick": 1.0}, {"slow": 0.9, "quick": 0.5}, 15.0) == {"slow": 10.0, "quick": 5.0}


def test_a_trainer_that_only_fails_makes_three_trials_unless_all_fail():
    turns, made = Turns(("good", "broken")), {"good": 0, "broken": 0}
    for _ in range(20):
        name = turns.next(math.inf)
        turns.begin(name)
        made[name] += 1
        turns.end(name, 1.0 if name == "good" else 0.01, -math.inf, failed=name == "broken")
    assert made == {"good": 17, "broken": 3}
    alone = Turns(("broken",))
    for _ in range(5):
        alone.begin("broken")
        alone.end("broken", 0.01, -math.inf, failed=True)
    assert alone.next(math.inf) == "broken"


def test_trials_that_run_count_before_their_cost_is_known():
    turns = Turns(("a", "b"))
    started = [turns.next(math.inf)]
    turns.begin(started[0])
    started.append(turns.next(math.inf))
    assert started == ["a", "b"]
    turns.begin("b")
    for name in started:
        turns.end(name, 1.0, 0.5)
    for _ in range(4):
        name = turns.next(math.inf)
        turns.begin(name)
        started.append(name)
    assert sorted(started) == ["a"] * 3 + ["b"] * 3
