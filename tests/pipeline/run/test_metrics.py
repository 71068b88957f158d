"""Metrics: cheap to log, durable at the end, whole after a crash."""

from __future__ import annotations

import errno
import io
import math
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import mlopsfw
from mlopsfw import start_run
from mlopsfw.kernel.base.errors import StorageFull, UsageError
from mlopsfw.kernel.roles.engine import StepResult
from mlopsfw.pipeline.run.display import Display
from mlopsfw.pipeline.run.metrics import MetricLog, read_complete_lines


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


def test_the_metrics_of_a_run_can_be_read_while_it_goes_on(project):
    with start_run("tuning", project=project) as run:
        run.log_metric("loss", 3)
        assert [m.number for m in project.runs.metrics(run.id)] == [3]
    assert [m.number for m in project.runs.metrics(run.id)] == [3]


def test_the_moving_line_of_a_terminal_has_the_newest_metrics_of_a_running_step(project):
    log = MetricLog(project.workspace.private_folder("runs", "01", "train") / "metrics.jsonl")
    for epoch in range(300):
        log.log("train_loss", 1.5, epoch)
        log.log("valid_loss", 1 / (epoch + 1), epoch)
    log.close()
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    display = Display(project.workspace, terminal)
    display.tick("01", {"train": time.monotonic(), "other": time.monotonic()})
    assert "train_loss=1.5 valid_loss=0.003333" in terminal.getvalue()


def test_a_finished_step_is_shown_with_metrics_of_its_own_before_those_of_its_parts(project):
    text = io.StringIO()
    parts = {f"fold{number}.train_loss": 0.5 for number in range(5)}
    Display(project.workspace, text).finished("validate", StepResult(metrics={**parts, "auc": 0.7}))
    assert "auc=0.7, fold0.train_loss=0.5" in text.getvalue()


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
    assert [(m.name, m.number) for m in read_complete_lines(log.file)] == [("x", 1.0), ("y", 2.0)]


def test_a_torn_last_line_is_left_out_and_the_rest_is_kept(tmp_path):
    log = MetricLog(tmp_path / "log")
    for number in range(100):
        log.log("x", number)
    log.close()
    data = log.file.read_bytes()
    for cut in range(len(data) - 60, len(data)):
        log.file.write_bytes(data[:cut])
        assert len(read_complete_lines(log.file)) == data[:cut].count(b"\n")


def test_no_point_of_a_process_that_is_killed_is_lost(project):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        run = start_run(project=project)
        for step in range(100_000):
            run.log_metric("loss", step / 2, step)
            os.write(writer, step.to_bytes(4)) if step % 7 == 0 else None
        os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as acknowledged:
        data = acknowledged.read(4 * 300)
        os.kill(child, signal.SIGKILL)
        data += acknowledged.read()
    os.waitpid(child, 0)
    last = int.from_bytes(data[len(data) // 4 * 4 - 4 : len(data) // 4 * 4])
    (lost,) = project.runs.ids()
    assert project.runs.get(lost).status == "lost"
    logged = [(metric.step, metric.number) for metric in project.runs.metrics(lost)]
    assert len(logged) > last >= 7 * 299
    assert logged == [(step, step / 2) for step in range(len(logged))]


def test_a_line_that_a_full_disk_cut_off_costs_no_other(tmp_path, monkeypatch):
    log, write, left = MetricLog(tmp_path / "log"), os.write, [1, 1, 0]
    log.log("a", 1)

    def full(descriptor, data):
        if left and not left.pop():
            return write(descriptor, data[:5])
        if left:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFull, match="full"):
        log.log("b", 2)
    monkeypatch.undo()
    log.log("c", 3)
    log.close()
    assert [metric.name for metric in read_complete_lines(log.file)] == ["a", "c"]


def test_a_log_that_a_killed_attempt_left_is_gone_on_with(tmp_path):
    first = MetricLog(tmp_path / "log")
    first.log("x", 1)
    first.close()
    second = MetricLog(tmp_path / "log")
    second.log("x", 2)
    second.close()
    assert len(read_complete_lines(tmp_path / "log")) == 2


def test_ten_thousand_numbers_are_all_there(project):
    with start_run(project=project) as run:
        for number in range(10_000):
            run.log_metric("x", number, number)
    assert [m.number for m in project.runs.metrics(run.id)] == list(range(10_000))


BAD = {
    "text": ("loss", "0.5", None),
    "nothing": ("loss", None, None),
    "complex": ("loss", 1j, None),
    "list": ("loss", [1.0], None),
    "name-number": (5, 1.0, None),
    "name-empty": ("  ", 1.0, None),
    "name-long": ("x" * 251, 1.0, None),
    "name-escape": ("loss\x1b[2J", 1.0, None),
    "name-line": ("a\nb", 1.0, None),
    "step-text": ("loss", 1.0, "1"),
    "step-nan": ("loss", 1.0, float("nan")),
    "step-bool": ("loss", 1.0, True),
    "step-large": ("loss", 1.0, 1 << 63),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_kept_is_refused_where_it_is_given(tmp_path, case):
    log = MetricLog(tmp_path / "log")
    with pytest.raises(UsageError, match="log_metric") as caught:
        log.log(*BAD[case])
    assert caught.value.hint
    log.log("x", 1)
    log.close()
    assert [m.name for m in read_complete_lines(log.file)] == ["x"]


@pytest.mark.parametrize(
    ("step", "kept"), [(0.5, 0.5), (2.0, 2), (np.int64(7), 7), (np.float32(1.5), 1.5), (-1, -1), (None, None)]
)
def test_a_step_is_kept_as_it_was_given_also_a_fraction_of_an_epoch(project, step, kept):
    with start_run(project=project) as run:
        run.log_metric("loss", np.float32(0.25), step)
    assert [(m.step, m.number) for m in project.runs.metrics(run.id)] == [(kept, 0.25)]


def test_threads_of_a_run_log_into_it(project):
    with start_run(project=project) as run, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: mlopsfw.log_metric("x", number, number), range(2000)))
    assert sorted(m.step for m in project.runs.metrics(run.id)) == list(range(2000))


def test_threads_of_a_step_log_into_it(bench):
    body = (
        "import mlopsfw\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "def run():\n    with ThreadPoolExecutor(4) as pool:\n"
        "        list(pool.map(lambda n: mlopsfw.log_metric('x', n, n), range(100)))\n"
    )
    outcome = bench.write('[steps.a]\npython = "steps:run"\n', steps=body).run()
    with bench.open() as project:
        assert sorted(m.step for m in project.runs.metrics(outcome.run)) == list(range(100))
        assert {m.source for m in project.runs.metrics(outcome.run)} == {"a"}


def test_a_forked_process_logs_into_the_run_and_repeats_nothing(project):
    with start_run(project=project) as run:
        for number in range(10):
            mlopsfw.log_metric("parent", number, number)
        child = os.fork()
        if not child:
            for number in range(2000):
                mlopsfw.log_metric("child", number, number)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        mlopsfw.log_metric("parent", 10, 10)
    logged = project.runs.metrics(run.id)
    assert [m.step for m in logged if m.name == "parent"] == list(range(11))
    assert [m.step for m in logged if m.name == "child"] == list(range(2000))
    assert project.runs.get(run.id).metrics == {"parent": 10.0, "child": 1999.0}


def test_a_forked_process_that_returns_from_a_step_is_not_the_step(bench):
    body = (
        "import os, time\n"
        "def run():\n    if not os.fork():\n        return {'of': 'child'}\n    time.sleep(0.3)\n    return {'of': 'parent'}\n"
    )
    outcome = bench.write('[steps.a]\npython = "steps:run"\noutputs = ["of"]\n', steps=body).run()
    with bench.open() as project:
        assert project.values.load(project.runs.get(outcome.run).steps["a"].outputs["of"]) == {"of": "parent"}


def test_a_forked_process_of_a_step_exits_with_the_code_that_it_names(bench):
    body = (
        "import os, sys\n"
        "def run():\n    codes = []\n    for code in (0, 3, None, 'why'):\n        if not (child := os.fork()):\n            sys.exit(code)\n"
        "        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n    return {'codes': codes}\n"
    )
    outcome = bench.write('[steps.a]\npython = "steps:run"\noutputs = ["codes"]\n', steps=body).run()
    with bench.open() as project:
        codes = project.values.load(project.runs.get(outcome.run).steps["a"].outputs["codes"])
    assert codes == {"codes": [0, 3, 0, 1]}


@pytest.mark.parametrize("raises", [False, True])
def test_a_forked_process_that_leaves_the_block_does_not_end_the_run(project, raises):
    child = -1
    try:
        with mlopsfw.start_run("x", project=project) as run:
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                run.log_metric("after", 1.0)
            elif raises:
                raise ValueError("of the child")
    finally:
        if not child:
            os._exit(0)
    view = project.runs.get(run.id)
    assert (view.status, view.metrics) == ("done", {"after": 1.0})


def test_a_fork_while_a_thread_logs_does_not_hang(project):
    with start_run(project=project) as run:
        stop = threading.Event()

        def log() -> None:
            while not stop.is_set():
                mlopsfw.log_metric("thread", 1)

        thread = threading.Thread(target=log)
        thread.start()
        try:
            for number in range(20):
                child = os.fork()
                if not child:
                    mlopsfw.log_metric("child", number)
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            stop.set()
            thread.join()
    assert [m.number for m in project.runs.metrics(run.id) if m.name == "child"] == list(range(20))


def test_of_several_open_runs_a_thread_must_say_which(project):
    with start_run("a", project=project) as first, start_run("b", project=project) as second:
        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(UsageError, match="2 runs are open"):
                pool.submit(mlopsfw.log_metric, "x", 1).result()
            pool.submit(first.log_metric, "x", 1).result()
        mlopsfw.log_metric("x", 2)  # the inner one
    assert [project.runs.get(run.id).metrics for run in (first, second)] == [{"x": 1.0}, {"x": 2.0}]
