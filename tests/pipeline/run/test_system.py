"""System metrics: sampled while a run is open, curves of it and no last values, and nothing for a short run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from mlopsfw import start_run
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.run import system
from mlopsfw.pipeline.run.system import Usage, interval


def wait(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "mlopsfw-system-metrics"]


def test_a_run_has_processor_and_memory_by_seconds_since_it_began_and_no_last_value(project):
    with start_run(project=project, system_seconds=0.02) as run:
        wait(lambda: len(project.runs.metrics(run.id)) >= 8 or run.log_metric("loss", 1.0))
    names = {metric.name for metric in project.runs.metrics(run.id)} - {"loss"}
    assert names == {f"system/{name}" for name in ("cpu", "memory", "process_cpu", "process_memory_mib")}
    for metric in project.runs.metrics(run.id):
        assert metric.name == "loss" or (metric.number >= 0 and 0 <= metric.step < 60)
    assert set(project.runs.get(run.id).metrics) <= {"loss"}


def test_the_thread_serves_many_runs_and_ends_when_none_has_been_open_for_a_while(project, monkeypatch):
    monkeypatch.setattr(system, "_TICK", 0.01)
    wait(lambda: not threads())  # of other tests
    seen = set()
    for _ in range(5):
        with start_run(project=project, system_seconds=60):
            seen.update(threads())
    assert len(seen) == 1
    wait(lambda: not threads())


def test_two_runs_share_a_thread_and_each_has_its_own_interval(project):
    with (
        start_run(project=project, system_seconds=0.01) as often,
        start_run(project=project, system_seconds=60) as seldom,
    ):
        wait(lambda: project.runs.metrics(often.id) or often.log_metric("x", 1))
        assert len(threads()) == 1
    assert project.runs.metrics(seldom.id) == []


def test_a_log_that_fails_gets_no_more_samples_and_the_others_do(project):
    calls = []

    def fail(*_):
        calls.append(1)
        raise OSError

    with system.sampling(SimpleNamespace(log=fail), 0.01), start_run(project=project, system_seconds=0.01) as run:
        wait(lambda: len(project.runs.metrics(run.id)) >= 12 or run.log_metric("loss", 1.0))
    assert len(calls) == 1


def test_a_forked_process_leaves_the_block_of_its_parent():
    block = contextlib.ExitStack()
    block.enter_context(system.sampling(SimpleNamespace(), 60))
    child = os.fork()
    if not child:
        ok = 1
        try:
            block.close()
            ok = 0
        finally:
            os._exit(ok)
    block.close()
    assert os.waitpid(child, 0)[1] == 0


def test_without_an_interval_the_environment_says_it_and_nought_is_off(project, monkeypatch):
    with start_run(project=project):
        assert system._sampler._runs == []
    monkeypatch.setenv("MLOPSFW_SYSTEM_METRICS", "2.5")
    assert interval() == 2.5
    monkeypatch.delenv("MLOPSFW_SYSTEM_METRICS")
    assert interval() == 10.0
    with start_run(project=project):
        assert len(system._sampler._runs) == 1


@pytest.mark.parametrize("given", ["ten", "-1", "nan", "inf"])
def test_what_is_no_interval_is_refused(monkeypatch, given):
    monkeypatch.setenv("MLOPSFW_SYSTEM_METRICS", given)
    with pytest.raises(UsageError, match=f"MLOPSFW_SYSTEM_METRICS is '{given}'"):
        interval()
    with pytest.raises(UsageError, match="system_seconds is '-1'"):
        interval(-1)


def test_a_step_has_them_by_the_environment(bench, monkeypatch):
    monkeypatch.setenv("MLOPSFW_SYSTEM_METRICS", "0.05")
    body = "import time\nimport mlopsfw\ndef run():\n    time.sleep(0.5)\n    mlopsfw.log_metric('auc', 0.5)\n"
    outcome = bench.write('[steps.a]\npython = "steps:run"\n', steps=body).run()
    with bench.open() as project:
        assert {"system/memory", "auc"} <= {metric.name for metric in project.runs.metrics(outcome.run)}
        assert project.runs.get(outcome.run).metrics == {"a.auc": 0.5}


def test_the_processes_that_a_run_starts_count():
    usage = Usage()
    alone = usage.read(time.monotonic())["process_memory_mib"]
    code = "import sys; held = b'x' * (64 << 20); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert usage.read(time.monotonic())["process_memory_mib"] > alone + 60


def test_a_forked_process_samples_its_own_run(project):
    with start_run(project=project, system_seconds=60):
        child = os.fork()
        if not child:
            ok = 1
            with start_run(project=project, system_seconds=0.01) as run:
                for _ in range(3000):
                    time.sleep(0.01)
                    run.log_metric("x", 1)
                    if any(metric.name == "system/cpu" for metric in project.runs.metrics(run.id)):
                        ok = 0
                        break
            os._exit(ok)
        assert os.waitpid(child, 0)[1] == 0


def test_what_a_system_does_not_tell_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(system, "_PROC", tmp_path)
    assert set(Usage().read(time.monotonic() + 1)) == {"process_cpu"}


def test_gpus_that_torch_uses_are_sampled_and_others_are_left_alone(monkeypatch):
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 2,
        memory_reserved=lambda device: (device + 1) << 20,
        utilization=lambda device: 50 if device == 0 else 1 / 0,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert system._gpus() == {"gpu0_memory_mib": 1.0, "gpu0": 50.0, "gpu1_memory_mib": 2.0}
    cuda.is_initialized = lambda: False
    assert system._gpus() == {}
