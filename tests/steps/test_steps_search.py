"""The search of a `train` step: trials as cached children, an honest winner, and a search that goes on after an interruption."""

from __future__ import annotations

import itertools
import json
import random
import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from mlopsfw.cli.root import cli
from mlopsfw.errors import ConfigError, DataError, UsageError
from mlopsfw.kernel.base.errors import PluginAborted
from mlopsfw.pipeline.run.child import history
from mlopsfw.pipeline.run.events import RunStarted
from mlopsfw.steps.search import _optimism
from mlopsfw.training.search.settings import Tune
from mlopsfw.training.search.space import Dimension, Space
from mlopsfw.training.search.study import Study

pytest.importorskip("optuna")
from mlopsfw_lightgbm import LightGbmConfig

TOML = """
[steps.rows]
python = "rows:rows"
[steps.fit]
use = "train"
inputs = { train = "rows" }
task = "binary"
target = "y"
[steps.fit.tune]
trainers = ["small", "blind"]
trials = 4
folds = { folds = 2 }
space = { "small.learning_rate" = { low = 0.01, high = 0.3, log = true }, "blind.learning_rate" = { low = 0.01, high = 0.3 } }
[trainer.small]
use = "lightgbm"
num_iterations = 3
min_data_in_leaf = 5
[trainer.blind]
use = "lightgbm"
num_iterations = 1
min_data_in_leaf = 1000
"""


@pytest.fixture
def searching(bench, counted_run, learnable_rows, monkeypatch):
    """Return a function that runs the search, as `counted_run` does."""
    bench.write(TOML, rows=learnable_rows)
    monkeypatch.setattr(LightGbmConfig, "search_space", {})
    return counted_run


@pytest.mark.parametrize(
    ("unseen", "holdout", "why"),
    [
        ([], None, "no rows were held out"),
        ([1], None, "there was no time"),
        ([1], {"rows": 1, "value": None}, "auc is undefined on the rows held out"),
    ],
)
def test_the_log_says_why_there_is_no_second_number(unseen, holdout, why):
    work = SimpleNamespace(metric="auc", unseen=unseen)
    assert why in _optimism(work, {"best": {"value": 0.7}, "holdout": holdout})


def test_the_winner_learns_from_all_rows_after_rows_that_no_trial_saw_have_judged_it(bench, searching):
    done = searching()
    report = bench.value(done, "fit", "search")
    assert (report["metric"], report["counts"]) == ("auc", {"done": 4})
    assert [trial["params"]["trainer"] for trial in report["trials"][:2]] == ["small", "blind"]
    assert report["best"]["value"] == max(trial["value"] for trial in report["trials"]) > 0.8
    assert report["best"]["params"]["trainer"] == "small"
    assert [step for step, _ in report["trials"][0]["losses"]] == [1, 2, 3, 5, 6, 7]
    assert report["holdout"]["rows"] == 24
    assert report["holdout"]["value"] > 0.8
    assert [rows for _, rows in searching.fits] == [48] * 8 + [96, 120]
    assert searching.fits[-1][0].learning_rate == report["best"]["params"]["small.learning_rate"]


def test_the_verb_draws_the_search(bench, searching, tmp_path):
    searching()
    page = tmp_path / "search.html"
    words = ["--project", str(bench.root), "runs", "trials", "latest", "--html", str(page)]
    assert CliRunner().invoke(cli, words).exit_code == 0
    text = page.read_text()
    assert "auc by trial, and the best so far" in text
    assert "unseen rows" in text
    assert text.count("<tr><td>") == 4


@pytest.mark.parametrize(("limits", "of_trials"), [("", ()), ("limits = { bundle_mb = 5.0 }", (0.1, 0.9))])
def test_the_winner_has_quantiles_and_trials_only_where_they_count(bench, searching, limits, of_trials):
    bench.edit("mlopsfw.toml", 'task = "binary"', 'task = "regression"\nquantiles = [0.1, 0.9]')
    bench.edit("mlopsfw.toml", "trials = 4", f"trials = 2\n{limits}")
    assert searching().exit_code == 0
    *trials, winner = [task.quantiles for task in searching.tasks]
    assert set(trials) == {of_trials}
    assert winner == (0.1, 0.9)


def test_a_search_with_a_trainer_that_ignores_quantiles_is_refused_before_a_trial(bench, searching):
    bench.edit("mlopsfw.toml", 'task = "binary"', 'task = "regression"\nquantiles = [0.1, 0.9]')
    bench.edit("mlopsfw.toml", 'trainers = ["small", "blind"]', 'trainers = ["small", "line"]')
    bench.edit("mlopsfw.toml", ', "blind.learning_rate" = { low = 0.01, high = 0.3 }', "")
    line = '[trainer.line]\nuse = "sklearn"\nestimator = "sklearn.linear_model:LinearRegression"\n[trainer.blind]'
    bench.edit("mlopsfw.toml", "[trainer.blind]", line)
    with pytest.raises(UsageError, match="the trainer 'line' would ignore quantiles"):
        searching()
    assert not searching.fits


def test_a_longer_search_takes_its_first_trials_from_the_cache(bench, searching):
    searching()
    bench.edit("mlopsfw.toml", "trials = 4", "trials = 5")
    assert bench.value(searching(), "fit", "search")["counts"] == {"done": 5}
    assert len(searching.fits) == 2 + 2


@pytest.mark.parametrize("options", ["", '\nsampler = "random"\nparallel = 2', '\nalso = ["brier"]\nparallel = 3'])
def test_trials_and_winner_depend_neither_on_the_slots_nor_on_the_order_in_which_trials_end(bench, searching, options):
    bench.edit("mlopsfw.toml", "trials = 4", f"trials = 12{options}")
    bench.edit("mlopsfw.toml", 'target = "y"', 'target = "y"\ncache = false')
    alone = bench.value(searching(), "fit", "search")
    searching.slots, delays = 3, random.Random(0)
    searching.fail = lambda *_: time.sleep(delays.choice([0, 0.03]))
    assert bench.value(searching(), "fit", "search") == alone
    assert len(searching.fits) == 12 * 2 + 2


def test_a_search_that_goes_on_with_other_folds_makes_its_trials_anew(bench, searching):
    searching.killed = lambda handle: len(searching.fits) >= 4 and handle.wait()
    with pytest.raises(PluginAborted):
        searching()
    searching.killed = None
    bench.edit("mlopsfw.toml", "folds = 2", "folds = 3")
    trials = bench.value(searching(resume=True), "fit", "search")["trials"]
    assert [len(trial["folds"]) for trial in trials] == [3, 3, 3, 3]
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3]


def test_a_run_that_reproduces_a_search_makes_its_trials_again_and_finds_an_equal_report(bench, searching):
    first = bench.value(searching(), "fit", "search")
    with bench.open() as project:
        started = project.ledger.stream("run/again").append(RunStarted(reproduces="first"))
    assert history([started], "fit").alone
    bench.edit("mlopsfw.toml", 'target = "y"', 'target = "y"\ncache = false')
    assert bench.value(searching(), "fit", "search") == first


def test_a_trial_that_crashes_does_not_end_the_search_unless_all_do(bench, searching):
    def crash(_, config, context):
        if config.num_iterations == 1:
            raise ZeroDivisionError("no rows\nin any part")

    searching.fail = crash
    report = bench.value(searching(), "fit", "search")
    assert {trial["status"] for trial in report["trials"] if trial["params"]["trainer"] == "blind"} == {"failed"}
    assert report["trials"][1]["why"].startswith("ZeroDivisionError: no rows\n")
    shown = CliRunner().invoke(cli, ["--project", str(bench.root), "runs", "trials", "latest"]).output
    assert "ZeroDivisionError: no rows\n" in shown
    assert "\\x0a" not in shown
    assert report["best"]["params"]["trainer"] == "small"
    searching.fail = lambda *_: 1 / 0
    bench.edit("mlopsfw.toml", "num_iterations = 3", "num_iterations = 4")
    with pytest.raises(Exception, match="each of 4 trials failed; the first: ZeroDivisionError"):
        searching()


def test_data_that_a_trainer_refuses_in_a_fold_name_the_trainer(bench, searching, capsys):
    bench.edit("mlopsfw.toml", "trials = 4", "trials = 1")

    def refuse(*_):
        raise DataError("the columns are too wide")

    searching.fail = refuse
    with pytest.raises(DataError, match="fold1: the columns are too wide"):
        searching()
    assert "raised by plugin 'trainer.lightgbm'" in capsys.readouterr().out


def test_an_interrupted_search_goes_on_at_the_fold_it_was_at_with_the_same_trials(bench, searching):
    bench.edit("mlopsfw.toml", 'target = "y"', 'target = "y"\ncache = false')
    whole = bench.value(searching(), "fit", "search")

    def interrupt(number, *_):
        if number >= 4:  # the second fold of the second trial
            raise ZeroDivisionError

    searching.fail = interrupt
    searching.killed = lambda handle: handle.wait().failure is not None
    with pytest.raises(PluginAborted):
        searching()
    searching.fail, searching.killed = None, None
    again = bench.value(searching(resume=True), "fit", "search")
    assert len(searching.fits) == 1 + 2 * 2 + 2
    assert [trial["params"] for trial in again["trials"]] == [trial["params"] for trial in whole["trials"]]
    assert again["best"] == whole["best"]


def test_time_that_is_over_ends_a_search_after_its_first_trial(bench, searching):
    bench.edit("mlopsfw.toml", "trials = 4", "minutes = 0.0001")
    report = bench.value(searching(), "fit", "search")
    assert report["counts"] == {"done": 1}
    with bench.open() as project:
        assert project.runs.get("latest").notes == [
            "fit: no trial of blind has a value; give the search more minutes or trials to compare them"
        ]


def test_a_winner_whose_scoring_takes_more_time_than_is_left_is_not_scored_and_the_search_ends(
    bench, searching, monkeypatch, capsys
):
    monkeypatch.setattr("mlopsfw.steps.trial_loop._GRACE", 0.2)
    bench.edit("mlopsfw.toml", "trials = 4", "trials = 2\nminutes = 0.01")
    moments = []

    def hold(_, __, context):
        while searching.fits[-1][1] == 96 and len(moments) < 200:
            moments.append(time.sleep(0.05))
            context.progress("growing", 0.5)

    searching.fail = hold
    report = bench.value(searching(), "fit", "search")
    assert 0 < len(moments) < 50
    assert report["holdout"] is None
    assert "there was no time to ask the rows held out" in capsys.readouterr().out


def test_a_trial_that_runs_when_the_time_is_over_is_stopped_and_did_not_fail(bench, searching):
    bench.edit("mlopsfw.toml", "trials = 4", "trials = 2\nminutes = 0.01")

    def wait(_, config, __):
        if config.num_iterations == 1:
            assert searching.cancelled.wait(60)
            raise KeyboardInterrupt

    searching.fail, searching.slots = wait, 2
    done = searching()
    events = bench.events(done.run)
    assert (events.count("step.stopped"), events.count("step.failed")) == (1, 0)
    assert bench.value(done, "fit", "search")["counts"] == {"done": 1, "stopped": 1}
    with bench.open() as project:
        stopped = project.runs.get("latest").steps["fit[1]"]
        assert (stopped.status, stopped.failure) == ("stopped", "")
        assert project.index.query("SELECT status, failure FROM steps WHERE step = 'fit[1]'") == [
            {"status": "stopped", "failure": None}
        ]
    status = CliRunner().invoke(cli, ["--project", str(bench.root), "status"], catch_exceptions=False).output
    assert "fit[1]" not in status
    assert {each["number"]: each["status"] for each in json.loads(_say(bench, "trials", "--json"))} == {
        0: "done",
        1: "stopped",
    }


def test_the_trials_of_a_step_that_came_from_the_cache_are_those_of_the_run_that_made_it(bench, searching):
    first = searching().run
    made = json.loads(_say(bench, "trials", "--json"))
    assert searching().run != first
    assert not searching.fits
    assert json.loads(_say(bench, "trials", "--json")) == made


def test_the_last_trainings_are_reckoned_by_the_rows_that_they_learn_from(bench, searching, monkeypatch):
    shares = []
    monkeypatch.setattr("mlopsfw.steps.search._report", lambda work, *_: shares.append(sum(work.last_shares)) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        searching()
    assert shares == [(96 + 120) / (48 + 48)]


def test_the_trials_of_a_debugged_search_run_in_this_process_and_the_first_error_ends_it(bench, searching):
    searching.debug = True
    assert bench.value(searching(), "fit", "search")["counts"] == {"done": 4}
    bench.edit("mlopsfw.toml", "num_iterations = 3", "num_iterations = 4")
    searching.fail = lambda number, *_: 1 / 0 if number == 2 else None
    with pytest.raises(ZeroDivisionError):
        searching()
    assert len(searching.fits) == 2


def test_a_grid_tries_every_point_once(bench, searching):
    grid = '"small.num_leaves" = { choices = [2, 4] }, features = { choices = [["a"], ["a", "b"]] }'
    bench.edit("mlopsfw.toml", TOML.partition("space = ")[2].partition("\n")[0], f"{{ {grid} }}")
    bench.edit("mlopsfw.toml", 'trainers = ["small", "blind"]\ntrials = 4', 'trainers = ["small"]\nsampler = "grid"')
    done = searching()
    tried = [trial["params"] for trial in bench.value(done, "fit", "search")["trials"]]
    assert {(each["small.num_leaves"], tuple(each["features"])) for each in tried} == {
        (leaves, features) for leaves in (2, 4) for features in (("a",), ("a", "b"))
    }
    assert len(tried) == 4


def test_a_trial_below_the_median_is_stopped_in_the_middle_of_a_fold_and_is_in_no_cache(bench, searching):
    bench.edit("mlopsfw.toml", "trials = 4", 'trials = 12\nparallel = 1\npruner = "median"')

    def slow(_, config, context):
        for _ in range(20 if config.num_iterations == 1 else 0):
            time.sleep(0.02)
            context.progress("growing", 0.5)

    bench.edit("mlopsfw.toml", 'trainers = ["small", "blind"]', 'trainers = ["small", "blind", "other"]')
    bench.edit(
        "mlopsfw.toml", "[trainer.blind]", '[trainer.other]\nuse = "lightgbm"\nnum_iterations = 2\n[trainer.blind]'
    )
    searching.fail = slow
    report = bench.value(searching(), "fit", "search")
    pruned = [trial for trial in report["trials"] if trial["status"] == "pruned"]
    assert pruned
    assert all(len(trial["folds"]) == 1 and trial["value"] is None for trial in pruned)
    assert "blind" in {trial["params"]["trainer"] for trial in pruned}  # another below the median may be slow, too
    bench.edit("mlopsfw.toml", 'pruner = "median"', 'pruner = "none"')
    again = bench.value(searching(), "fit", "search")
    assert "pruned" not in again["counts"]


def test_the_winner_keeps_the_limits_and_the_front_has_what_no_trial_beats(bench, searching):
    extra = 'also = ["bundle_mb"]\nlimits = { bundle_mb = 0.1, "gap.g" = 1.0, row_ms = 1000.0 }'
    bench.edit("mlopsfw.toml", "trials = 4", f"trials = 4\n{extra}")
    bench.edit("rows.py", '"b": x[:, 1],', '"b": x[:, 1], "g": ["one", "two"] * 60,')
    report = bench.value(searching(), "fit", "search")
    best = report["trials"][report["best"]["number"]]
    assert {"bundle_mb", "gap.g", "row_ms", "auc"} <= set(best["folds"][0])
    smallest = min(report["trials"], key=lambda trial: trial["folds"][0]["bundle_mb"] + trial["folds"][1]["bundle_mb"])
    best_value = max(trial["value"] for trial in report["trials"])
    assert best["number"] in report["front"]
    assert smallest["number"] in report["front"]
    bench.edit("mlopsfw.toml", "row_ms = 1000.0", "row_ms = 0.0")
    with pytest.raises(Exception, match=r"none of 4 trials keeps the limits; the nearest of each: .*row_ms"):
        searching()
    bench.edit("mlopsfw.toml", "row_ms = 0.0", "auc = 0.99999")
    with pytest.raises(Exception, match=rf"nearest of each: .*auc {best_value:.4g} \(limit 0.99999\)"):
        searching()


def test_a_set_of_features_may_have_a_column_that_the_model_makes_if_its_trainer_does(bench, searching):
    bench.edit("mlopsfw.toml", 'target = "y"', "target = \"y\"\nderive = { both = \"pl.col('a') + pl.col('b')\" }")
    bench.edit(
        "mlopsfw.toml", TOML.partition("space = ")[2].partition("\n")[0], '{ features = { choices = [["b", "both"]] } }'
    )
    with pytest.raises(UsageError, match="the trainer 'small' would ignore derived columns"):
        searching()
    assert not searching.fits
    bench.edit("mlopsfw.toml", 'trainers = ["small", "blind"]', 'trainers = ["net"]')
    bench.edit("mlopsfw.toml", "[trainer.small]", '[trainer.net]\nuse = "torch"\nepochs = 1\n[trainer.small]')
    bench.edit("mlopsfw.toml", "trials = 4", "trials = 1")
    assert bench.value(searching(), "fit", "search")["counts"] == {"done": 1}


@pytest.mark.parametrize("how", ["permutation", "null"])
def test_features_are_ranked_on_rows_that_trials_see_and_trials_choose_among_the_best(bench, searching, how):
    bench.edit("mlopsfw.toml", "trials = 4", f'trials = 3\nfeatures = "{how}"')
    bench.edit("mlopsfw.toml", 'trainers = ["small", "blind"]', 'trainers = ["small"]')
    bench.edit("mlopsfw.toml", ', "blind.learning_rate" = { low = 0.01, high = 0.3 }', "")
    bench.edit("rows.py", '"b": x[:, 1],', '"b": x[:, 1], **{f"n{i}": draw.normal(size=120) for i in range(4)},')
    done = searching()
    tried = [trial["params"]["features"] for trial in bench.value(done, "fit", "search")["trials"]]
    assert all("a" in each for each in tried)
    assert max(rows for _, rows in searching.fits[:-2]) < 96
    assert len(searching.fits) == {"permutation": 1, "null": 11}[how] + 3 * 2 + 2


def test_the_trials_of_a_run_are_listed_best_first(bench, searching):
    searching()
    listed = json.loads(_say(bench, "trials", "--json"))
    assert [trial["value"] for trial in listed] == sorted((trial["value"] for trial in listed), reverse=True)
    assert {trial["number"] for trial in listed} == {0, 1, 2, 3}


def test_of_many_trials_the_best_ten_are_shown_and_all_if_asked(bench, searching):
    bench.edit("mlopsfw.toml", "trials = 4", "trials = 12")
    events = bench.events(searching().run)
    assert events.count("step.started") == events.count("step.finished") == 12 + 2
    assert events.count("metrics.segment") == 1  # that of the winner: a trial writes none
    shown = {words: _say(bench, *words) for words in [("show",), ("show", "--all"), ("trials",), ("trials", "--all")]}
    assert "fit[3]" not in shown["show",]
    assert "fit: 12 parts, 12 done" in shown["show",]
    assert "fit[3]" in shown["show", "--all"]
    assert len(shown["trials",].splitlines()) == 1 + 10 + 1
    assert len(shown["trials", "--all"].splitlines()) == 1 + 12
    assert len(json.loads(_say(bench, "trials", "--json"))) == 12
    assert "fit[3]" in json.loads(_say(bench, "show", "--json"))["steps"]


def _say(bench, verb, *options):
    words = ["--project", str(bench.root), "runs", verb, "latest", *options]
    return CliRunner().invoke(cli, words, catch_exceptions=False).output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trials = 4", "", "needs an end"),
        ('"small.learning_rate"', '"smal.learning_rate"', "no trainer of the search is called so"),
        ("low = 0.01", "low = -0.5", "above 0"),
        ('"small.learning_rate" = { low = 0.01', '"small.bagging_fraction" = { low = 0.01', "1.5 is refused"),
        ("folds = 2 }", 'folds = 2 }\nmetric = "acu"', "no metric"),
        ("folds = 2 }", 'folds = 2 }\nlimits = { "gap.who" = 0.1 }', "no column 'who'"),
        ("folds = 2 }", 'folds = 2 }\nsampler = "cmaes"', "one trainer"),
        ("folds = 2 }", 'folds = 2 }\nalso = ["bundle_mb"]\npruner = "median"', "one objective"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_anything_is_trained(bench, searching, old, new, message):
    bench.edit("mlopsfw.toml", old, new)
    bench.edit("mlopsfw.toml", "high = 0.3", "high = 1.5")
    with pytest.raises(Exception, match=message):
        searching()
    assert not searching.fits


def test_a_grid_of_more_points_than_memory_is_made_point_by_point():
    space = Space.of({"own": {"a": {"low": 0.0, "high": 1.0, "step": 1e-12}, "b": {"choices": [1, 2]}}}, {})
    first = list(itertools.islice(space.grid(), 3))
    assert [(point["own.a"], point["own.b"]) for point in first] == [(0.0, 1), (0.0, 2), (1e-12, 1)]


def test_an_error_in_a_space_names_the_option(bench, searching):
    bench.edit("mlopsfw.toml", "high = 0.3", "high = 0.001")
    with pytest.raises(
        ConfigError, match=r"tune\.space\.small\.learning_rate\.low: low = 0.01 is not below high = 0.001"
    ):
        searching()


def test_dimensions_and_budgets_that_contradict_themselves_are_refused():
    for wrong in ({"low": 2, "high": 1}, {"low": 1}, {"low": 0, "high": 1, "log": True}, {"choices": (1,), "low": 1}):
        with pytest.raises(ConfigError):
            Tune(trials=1, space={"own.a": Dimension(**wrong)})
    with pytest.raises(ConfigError, match="a grid needs a space"):
        Tune(sampler="grid")


@pytest.mark.parametrize("sampler", ["cmaes", "tpe"])
def test_the_study_learns_what_counts_and_goes_on_alike_when_it_is_made_anew(sampler):
    space = Space.of({"own": {"a": {"low": 0.0, "high": 1.0}, "b": {"low": 1, "high": 9}}}, {})
    first, second = (Study(space, Tune(trials=30, sampler=sampler), maximize=[True], seed=1) for _ in range(2))
    proposed = [first.propose(0)]
    for number in range(30):
        first.finish(number, [proposed[number]["own.a"]], limits={}, pruned=False)
        proposed.append(first.propose(number + 1))
    shares = first.importances()["own"]
    assert shares["own.a"] > shares["own.b"]
    for number in range(12):
        second.repeat(number, proposed[number])
        second.finish(number, [proposed[number]["own.a"]], limits={}, pruned=False)
    again = second.propose(12)
    assert again == proposed[12] if sampler == "tpe" else 0 <= again["own.a"] <= 1


def test_a_loss_within_a_training_gives_up_a_trial_among_those_of_its_trainer_alone():
    space = Space.of({name: {"a": {"low": 0.0, "high": 1.0}} for name in ("own", "other")}, {})
    study = Study(space, Tune(trials=30, pruner="median"), maximize=[True], seed=1)
    for number in range(5):
        study.repeat(number, {"trainer": "own", "own.a": number / 10})
        assert not study.report(number, {1: -0.1 * number, 4: 0.9})
    for number, trainer in ((5, "other"), (6, "own")):
        study.repeat(number, {"trainer": trainer, f"{trainer}.a": 0.5})
    assert not study.report(5, {1: -0.3})
    assert study.report(5, {1: -0.3, 4: 0.8})
    assert study.report(6, {1: -0.3})


def test_each_trainer_proposes_the_same_trials_whatever_the_others_do():
    space = {name: {"a": {"low": 0.0, "high": 1.0}} for name in ("own", "other")}
    proposed = []
    for trainers in (["own"], ["own", "other"]):
        study = Study(Space.of({name: space[name] for name in trainers}, {}), Tune(trials=30), maximize=[True], seed=1)
        tried = []
        for number in range(9 * len(trainers)):
            params = study.propose(number)
            study.finish(number, [params[f"{params['trainer']}.a"]], limits={}, pruned=False)
            tried += [params["own.a"]] if params["trainer"] == "own" else []
        proposed.append(tried[:6])
    assert proposed[0] == proposed[1]


def test_the_first_trial_has_the_options_of_the_file_where_the_trainer_suggests_other_values_too():
    suggested = {
        "rate": {"low": 0.01, "high": 0.1, "log": True},
        "count": {"low": 4, "high": 64},
        "hidden": {"choices": [[128], [256]]},
        "decay": {"low": 1e-3, "high": 10.0, "log": True},
    }
    file = {"rate": 0.5, "count": 2, "hidden": [64, 32], "decay": 0.0}
    space = Space.of({"own": suggested}, {}, starts={"own": file})
    first = Study(space, Tune(trials=3), maximize=[True], seed=1).propose(0)
    assert first == {
        "trainer": "own",
        "own.rate": 0.5,
        "own.count": 2,
        "own.hidden": [64, 32],
        "own.decay": 1e-3,  # no order of magnitude is at 0: the nearer end
    }
    given = {"own.count": Dimension(low=8, high=9)}  # what the file says of the space holds
    space = Space.of({"own": suggested}, given, starts={"own": file})
    assert Study(space, Tune(trials=3), maximize=[True], seed=1).propose(0)["own.count"] == 8


def test_a_trainer_that_has_nothing_new_to_try_makes_no_more_and_the_search_ends_when_none_has():
    space = Space.of({"none": {}, "two": {"a": {"choices": [1, 2]}}, "many": {"a": {"low": 1, "high": 3}}}, {})
    study = Study(space, Tune(minutes=1), maximize=[True], seed=1)
    tried = []
    while params := study.propose(len(tried)):
        study.finish(len(tried), [1.0 if params["trainer"] == "none" else 0.5], limits={}, pruned=False)
        tried.append(params)
        assert len(tried) < 30
    assert {json.dumps(each) for each in tried} >= {'{"trainer": "none"}', '{"trainer": "two", "two.a": 2}'}
    assert [each["trainer"] for each in tried].count("none") == 1


def test_hyperband_gives_up_a_trial_that_is_worse_than_others_after_the_same_folds():
    space = Space.of({"own": {"a": {"low": 0.0, "high": 1.0}}}, {})
    study = Study(space, Tune(trials=30, sampler="random", pruner="hyperband"), maximize=[True], seed=1, folds=8)
    pruned = {}
    for number in range(40):
        value = study.propose(number)["own.a"]
        last = next((fold for fold in range(1, 9) if study.report(number, {4 * fold: value})), 0)
        pruned[value] = bool(last)
        study.finish(number, None if last else [value], limits={}, pruned=bool(last))
    values = sorted(pruned)
    assert 5 < sum(pruned.values()) < 40
    assert sum(pruned[each] for each in values[:20]) > sum(pruned[each] for each in values[20:])
