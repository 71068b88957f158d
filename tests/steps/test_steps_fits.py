"""The fits of the step validate: cached children, so that none is made twice."""

from __future__ import annotations

import threading

import pytest

from mlopsfw.kernel.base.errors import PluginAborted

pytest.importorskip("lightgbm")

TOML = """
[steps.rows]
python = "rows:rows"
[steps.check]
use = "validate"
inputs = { rows = "rows" }
trainer = "small"
task = "binary"
target = "y"
folds = { folds = 3 }
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
def validating(bench, counted_run, learnable_rows):
    """Return a function that runs the validation, as `counted_run` does."""
    bench.write(TOML, rows=learnable_rows)
    return counted_run


def test_a_report_that_asks_more_of_the_same_folds_trains_nothing_but_what_is_new(bench, validating):
    first = bench.value(validating(), "check", "report")
    assert len(validating.fits) == 4  # three folds, and half of the rows
    bench.edit("mlopsfw.toml", 'target = "y"', 'target = "y"\nslices = false\nagainst = ["blind"]')
    second = bench.value(validating(), "check", "report")
    assert len(validating.fits) == 3
    assert (second["auc"], second["folds"]) == (first["auc"], first["folds"])
    assert second["against"]["blind"]["better"]


@pytest.mark.parametrize("cache", ["true", "false"])
def test_a_killed_validation_goes_on_with_the_fits_that_are_left(bench, validating, cache):
    bench.edit("mlopsfw.toml", 'target = "y"', f'target = "y"\ncache = {cache}')
    whole = bench.value(validating(), "check", "report")
    bench.edit("mlopsfw.toml", "num_iterations = 3", "num_iterations = 4")

    def interrupt(number, *_):
        if number == 3:
            raise ZeroDivisionError

    validating.fail, validating.killed = interrupt, lambda handle: handle.wait().failure is not None
    with pytest.raises(PluginAborted):
        validating()
    validating.fail, validating.killed = None, None
    again = bench.value(validating(resume=True), "check", "report")
    assert len(validating.fits) == 2  # the third fold, and half of the rows
    assert len(again["folds"]) == len(whole["folds"]) == 3


def test_a_fit_that_fails_ends_the_step_and_names_fold_and_trainer(bench, validating):
    validating.fail = lambda number, *_: 1 / 0 if number == 2 else None
    with pytest.raises(Exception, match="fold2 of small: ZeroDivisionError: division by zero"):
        validating()
    assert len(validating.fits) == 2


def test_a_debugged_fit_runs_where_a_debugger_stops_and_its_own_error_ends_the_run(bench, validating):
    validating.debug = True
    report = bench.value(validating(), "check", "report")
    assert len(report["folds"]) == 3
    main = threading.current_thread()
    seen = []

    def fail(number, *_):
        seen.append(threading.current_thread() is main)
        if number == 2:
            raise ZeroDivisionError("in the second fold")

    bench.edit("mlopsfw.toml", "num_iterations = 3", "num_iterations = 4")
    validating.fail = fail
    with pytest.raises(ZeroDivisionError, match="in the second fold"):
        validating()
    assert seen == [True, True]
    validating.fail = None
    assert len(bench.value(validating(resume=True), "check", "report")["folds"]) == 3
    assert len(validating.fits) == 3  # the second fold, the third, and half of the rows
