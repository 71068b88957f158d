"""Metrics: cheap to log, durable at the end, whole after a crash."""

from __future__ import annotations

import math

import pytest

import mlopsfw
from mlopsfw import start_run
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.run.metrics import MetricLog, whole_lines


def test_what_a_step_logs_is_in_its_run(bench):
    body = "import mlopsfw\ndef run(context):\n    for epoch in range(3):\n        mlopsfw.log_metric('loss', 1 / (epoch + 1), epoch)\n    context.log_metric('auc', 0.5)\n"
    outcome = bench.write('[steps.a]\npython = "steps:run"\n', steps=body).run()
    with bench.open() as project:
        logged = [(m.source, m.name, m.step, m.number) for m in project.runs.metrics(outcome.run)]
        assert logged == [
            ("a", "loss", 0, 1.0),
            ("a", "loss", 1, 0.5),
            ("a", "loss", 2, 1 / 3),
            ("a", "auc", None, 0.5),
        ]
        assert project.runs.get(outcome.run).metrics == {"a.loss": 1 / 3, "a.auc": 0.5}


def test_what_a_failed_attempt_logged_is_kept_too(bench):
    body = "import mlopsfw\ndef run():\n    mlopsfw.log_metric('loss', float('nan'))\n    raise ValueError\n"
    outcome = bench.write('[steps.a]\npython = "steps:run"\n', steps=body).run()
    with bench.open() as project:
        assert [math.isnan(m.number) for m in project.runs.metrics(outcome.run)] == [True]


def test_a_run_outside_of_any_pipeline(project):
    with start_run("tuning", project=project, params={"rate": 0.1}) as run:
        run.log_metric("loss", 3)
        mlopsfw.log_metric("loss", 2, 1)
    view = project.runs.get(run.id)
    assert (view.pipeline, view.status, view.facts.params) == ("tuning", "done", {"rate": 0.1})
    assert [m.number for m in project.runs.metrics(run.id)] == [3, 2]


def test_the_index_has_the_last_number_of_a_run_outside_of_any_pipeline(project):
    with start_run("tuning", project=project) as run:
        run.log_metric("loss", 3)
        run.log_metric("loss", 2)
        run.log_metric("auc", float("nan"))
    found = project.index.query("SELECT name, value FROM metrics WHERE run = ? ORDER BY name", (run.id,))
    assert [tuple(row.values()) for row in found] == [("auc", None), ("loss", 2.0)]


def test_a_run_that_ends_with_an_exception_is_failed(project):
    with pytest.raises(ZeroDivisionError), start_run(project=project) as run:
        run.log_metric("loss", 1 / 0)
    assert project.runs.get(run.id).status == "failed"


def test_logging_outside_of_any_run_says_how_to_open_one():
    with pytest.raises(UsageError, match="outside of any run") as caught:
        mlopsfw.log_metric("x", 1)
    assert "start_run" in caught.value.hint


@pytest.mark.parametrize("name", ["\ud800", "loss\udfff"])
def test_a_metrics_name_that_is_no_unicode_text_is_refused_and_leaves_the_log_as_it_was(tmp_path, name):
    log = MetricLog(tmp_path / "log")
    log.log("x", 1)
    with pytest.raises(UsageError, match=r"\\ud[8f]") as caught:
        log.log(name, 1)
    assert "UTF-8" in caught.value.hint
    log.log("y", 2)
    log.close()
    assert (log.last, len(whole_lines(log.file))) == ({"x": 1.0, "y": 2.0}, 2)


def test_a_torn_last_line_is_left_out_and_the_rest_is_kept(tmp_path):
    log = MetricLog(tmp_path / "log")
    for number in range(100):
        log.log("x", number)
    log.close()
    whole = log.file.read_bytes()
    for cut in range(len(whole) - 60, len(whole)):
        log.file.write_bytes(whole[:cut])
        assert len(whole_lines(log.file)) == whole[:cut].count(b"\n")


def test_a_log_that_a_killed_attempt_left_is_gone_on_with(tmp_path):
    first = MetricLog(tmp_path / "log")
    first.log("x", 1)
    first.close()
    second = MetricLog(tmp_path / "log")
    second.log("x", 2)
    second.close()
    assert len(whole_lines(tmp_path / "log")) == 2


def test_ten_thousand_numbers_are_all_there(project):
    with start_run(project=project) as run:
        for number in range(10_000):
            run.log_metric("x", number, number)
    assert [m.number for m in project.runs.metrics(run.id)] == list(range(10_000))
