"""`why` names what changed: the function and its file, the parameter's two values, the input, the file, the package."""

from __future__ import annotations

import re
import sys

import pytest

from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.pipeline.run.runs import Runs

TOML = """
[steps.load]
python = "steps:load"
reads = ["rows.txt"]
[steps.fit]
python = "steps:fit"
inputs = { rows = "load" }
params = { degree = 2, nested = { rate = 0.1 } }
"""
STEPS = """
from helpers import near
def load(): return open("rows.txt").read()
def fit(rows, degree, nested): return near(degree)
"""
HELPERS = "def near(x): return far(x)\n\n\ndef far(x): return x\n"


@pytest.fixture
def fitted(bench):
    bench.write(TOML, {"rows.txt": "1 2 3"}, steps=STEPS, helpers=HELPERS).run()
    return bench


def why(bench, step: str):
    with bench.open() as project:
        (found,) = [item for item in project.pipeline.plan(steps=(step,)) if item.step == step]
        return found


def test_nothing_changed(fitted):
    assert (why(fitted, "fit").action, why(fitted, "fit").reasons) == ("cached", ())


def test_a_variable_that_changed_is_named_without_its_value_and_the_step_runs_again(bench, monkeypatch):
    monkeypatch.setenv("MYVAR", "secret-0")
    toml = '[steps.fit]\npython = "steps:fit"\n'
    bench.write(toml, steps="import os\ndef fit(): return os.environ.get('MYVAR', '')\n").run()
    bench.write(f'{toml}env = ["MYVAR"]\n')
    assert why(bench, "fit").reasons == ("env MYVAR: is now declared",)
    bench.run()
    for value, reason in (
        (None, "is no longer set"),
        ("", "is now set"),
        ("secret-1", "changed"),
        ("secret-2", "changed"),
    ):
        if value is None:
            monkeypatch.delenv("MYVAR")
        else:
            monkeypatch.setenv("MYVAR", value)
        assert why(bench, "fit").reasons == (f"env MYVAR: {reason}",)
        bench.run()
        assert (why(bench, "fit").action, why(bench, "fit").reasons) == ("cached", ())


def test_a_function_two_calls_away_is_named_with_its_file(fitted):
    fitted.edit("helpers.py", "def far(x): return x", "def far(x): return x + 1")
    assert why(fitted, "fit").reasons == ("code: helpers.far changed (helpers.py)",)


def test_a_function_that_came_and_one_that_went(fitted):
    fitted.edit("helpers.py", "return far(x)", "return other(x)\n\n\ndef other(x): return -x")
    assert set(why(fitted, "fit").reasons) == {
        "code: helpers.near changed (helpers.py)",
        "code: helpers.other is now called (helpers.py)",
        "code: helpers.far is no longer called (helpers.py)",
    }


def test_a_parameter_is_told_from_and_to(fitted):
    fitted.edit("mlopsfw.toml", "degree = 2, nested = { rate = 0.1 }", "degree = 3, nested = { rate = 0.2 }")
    assert why(fitted, "fit").reasons == ("param degree: 2 → 3", "param nested.rate: 0.1 → 0.2")


def test_a_declared_file_and_the_input_that_follows_from_it(fitted):
    fitted.write(files={"rows.txt": "1 2 3 4"})
    (reason,) = why(fitted, "load").reasons
    assert reason.startswith("file rows.txt: its content changed")
    found = why(fitted, "fit")
    assert (found.action, found.reasons) == ("maybe", ("input rows: step 'load' would run first",))
    fitted.run(steps=("load",))
    (reason,) = why(fitted, "fit").reasons
    assert reason.startswith("input rows: its content changed")


def test_a_package_is_told_from_and_to(fitted, tmp_path, monkeypatch):
    (tmp_path / "polars-0.1.dist-info").mkdir()
    (tmp_path / "thing-1.0.dist-info").mkdir()  # the step does not reach it
    monkeypatch.syspath_prepend(str(tmp_path))
    reasons = why(fitted, "fit").reasons
    assert re.fullmatch(r"package polars: '.+' → '0\.1'", reasons[0])
    assert not [reason for reason in reasons if "thing" in reason]


def test_a_step_that_always_runs_says_so(bench):
    bench.write('[steps.a]\npython = "steps:a"\ncache = false\n', steps="def a(): return 1\n").run()
    assert "cache = false" in why(bench, "a").verdict


def test_a_plan_opens_no_run_that_did_not_have_the_step_and_resume_none_that_is_done(bench, monkeypatch):
    bench.write('[steps.a]\npython = "steps:a"\n', steps="def a(): return 1\n").run()
    with bench.open() as project:
        for number in range(20):
            stream = project.ledger.stream(f"run/z{number:02}")
            stream.append(PlainRecord("run.started", {"pipeline": "other"}), expecting=0)
            stream.seal(PlainRecord("run.finished", {"status": "done", "exit_code": 0, "seconds": 1.0}))
        opened = []
        monkeypatch.setattr(Runs, "_view", lambda self, run, real=Runs._view: opened.append(run) or real(self, run))
        (found,) = project.pipeline.plan()
        assert (found.action, len(opened)) == ("cached", 1)
        with pytest.raises(UnknownName, match="no run failed"):
            project.pipeline.latest()
        assert len(opened) == 1


def test_planning_runs_nothing_and_imports_no_step(fitted):
    with fitted.open() as project:
        before = project.runs.ids()
        project.pipeline.plan()
        assert project.runs.ids() == before
    assert "helpers" not in sys.modules
