"""The page of a search: history, slices, parallel coordinates, Pareto front, what was stopped early, and importances."""

from __future__ import annotations

import re

import pytest

from mlopsfw.training.search.page import Search, search_page
from mlopsfw.training.search.page.axes import BASE, LEFT, RIGHT, TOP, axis_of, point
from mlopsfw.training.search.trials import Trial


def searched(**facts):
    return Search("r1", "fit", "auc", maximize=True, **{"objectives": ("auc",), "report": {}, **facts})


def trial(number, value=0.5, *, status="done", folds=None, trainer="trees", **params):
    named = {"trainer": trainer, **{f"{trainer}.{name}": each for name, each in params.items()}}
    folds = [{"auc": value}, {"auc": value}] if folds is None else folds
    return Trial(number=number, params=named, value=value, status=status, folds=folds)


def figures(page):
    """Return each figure's markup by its caption."""
    drawn = [part.partition("</figure>")[0] for part in page.split("<figure")[1:]]
    return {part.partition("<figcaption>")[2].partition("</figcaption>")[0]: part for part in drawn}


TRIALS = [
    trial(1, 0.8, rate=0.1, depth=4),
    trial(2, 0.7, rate=0.001, depth=8),
    trial(0, 0.6, rate=0.5, depth=4),
    trial(3, None, status="pruned", folds=[{"auc": 0.4}], rate=0.2, depth=4),
    trial(4, None, status="failed", folds=[], rate=0.2, depth=4),
]


def test_the_history_has_each_value_by_number_and_the_best_so_far_never_gets_worse():
    drawn = figures(search_page(searched(), TRIALS))["auc by trial, and the best so far"]
    assert drawn.count("<circle") == 3
    (line,) = re.findall(r'class="best" d="([^"]*)"', drawn)
    assert line == f"M{LEFT:.1f} {BASE:.1f}H{(LEFT + RIGHT) / 2:.1f}V{TOP:.1f}H{RIGHT:.1f}V{TOP:.1f}"
    smaller = figures(search_page(searched()._replace(maximize=False), TRIALS))["auc by trial, and the best so far"]
    assert f"V{BASE:.1f}" in smaller
    assert f"V{TOP:.1f}" not in smaller


def test_each_parameter_that_varies_is_drawn_over_decades_where_it_spans_them_and_others_are_not():
    drawn = figures(
        search_page(searched(), [trial(number, 0.5 + number / 10, rate=10.0**-number, same=1) for number in range(4)])
    )
    assert "auc by trees.rate" in drawn
    assert "rate (log)" in drawn["auc by trees.rate"]
    assert "auc by trees.same" not in drawn


@pytest.mark.parametrize(
    ("values", "value", "share"),
    [([1, 3], 2, 0.5), ([1.0, 100.0], 10.0, 0.5), (["a", "b", "c"], "b", 0.5), ([2, 2], 2, 0.5), ([True, False], True, 0.75), ([[1], [2]], [1], 0.25), ([0, 0], 0, 0.5)],
)  # fmt: skip
def test_a_value_lies_on_its_axis(values, value, share):
    assert axis_of(values).share(value) == pytest.approx(share)
    x, _ = point(axis_of(values), axis_of([0, 1]), value, 0)
    assert LEFT <= x <= RIGHT


def test_trials_that_were_stopped_early_are_dashed_beside_the_others():
    trials = [
        trial(0, 0.6, folds=[{"auc": 0.5}, {"auc": 0.7}, {"auc": 0.6}]),
        trial(1, None, status="pruned", folds=[{"auc": 0.4}, {"auc": 0.4}]),
    ]
    (drawn,) = [each for name, each in figures(search_page(searched(), trials)).items() if "stopped early" in name]
    assert re.findall(r'<path class="line c0 (\w+)"', drawn) == ["better", "pruned"]
    assert not [name for name in figures(search_page(searched(), trials[:1])) if "stopped early" in name]


def test_a_search_for_several_objectives_has_its_front_and_one_for_one_has_none():
    trials = [
        trial(number, 0.5 + number / 10, folds=[{"auc": 0.5 + number / 10, "row_ms": cost}])
        for number, cost in enumerate((1, 3, 2))
    ]
    page = search_page(searched(objectives=("auc", "row_ms"), report={"front": [0, 2]}), trials)
    drawn = figures(page)["row_ms over auc: the Pareto front"]
    assert drawn.count("<circle") == 3
    assert re.findall(r'class="best" d="([^"]*)"', drawn)[0].count("L") == 1
    assert not [name for name in figures(search_page(searched(), trials)) if "Pareto" in name]


def test_lines_over_the_parameters_are_of_one_trainer_and_the_better_half_stands_out():
    page = search_page(
        searched(), [*TRIALS, trial(9, 0.9, trainer="net", layers=2), trial(10, 0.8, trainer="net", layers=3)]
    )
    drawn = figures(page)
    assert drawn["trees: parameters and auc"].count('class="line') == 3
    assert drawn["trees: parameters and auc"].count("better") == 1
    assert 'class="line c1 better"' in drawn["net: parameters and auc"]
    assert ">trees</span>" in page


def test_importances_and_unseen_rows_are_those_of_the_report():
    report = {
        "importances": {"trees": {"trees.rate": 0.75, "trees.depth": 0.25}},
        "holdout": {"rows": 1200, "value": 0.71},
    }
    page = search_page(searched(report=report), TRIALS)
    assert "width:75.0%" in page
    assert "on 1,200 unseen rows 0.71" in page
    assert "5 trials: 3 done, 1 pruned, 1 failed" in page


def test_the_table_says_why_a_trial_was_stopped_and_no_seconds_that_nobody_measured():
    stopped = Trial(number=5, params={"trainer": "net"}, status="stopped", why="Stopped: the time was over")
    page = search_page(searched(), [*TRIALS, stopped])
    assert "<td>stopped<td><td><td>net<td><td>Stopped: the time was over</tr>" in page


def test_a_search_that_has_found_nothing_yet_has_a_page():
    page = search_page(searched(), [trial(0, None, status="running", folds=[])])
    assert "No trial has a value yet" in page
    assert "Importances</h2>" not in page


@pytest.mark.server
def test_a_real_browser_runs_and_fetches_nothing_that_a_parameter_holds(browser):
    text = f"</title><script>document.title='pwned'</script><img src={browser.url}/img>"
    trials = [trial(number, 0.5 + number, trainer=text, **{text: f"{text}{number}"}) for number in range(3)]
    out = browser.open(search_page(searched(report={"importances": {text: {text: 0.5}}})._replace(step=text), trials))
    assert "<title>Search of &lt;/title" in out
    assert out.count("<circle") == 6
    assert browser.asked == []
