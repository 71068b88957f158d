"""A plugin that hangs ends with an error that names it, and one that is slow to import is named while the user waits."""

from __future__ import annotations

import gc
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.project.deadlines import Deadline, PluginTimeout

OBSERVER = """
import sqlite3, threading, time
from mlopsfw import hookimpl
seen, threads = [], set()
@hookimpl
def mlopsfw_event(event, host, options):
    seen.append(event.type)
    threads.add(threading.get_ident())
    BODY
"""


def happen(project, names):
    for name in names:
        project.ledger.stream("run/a").append(PlainRecord(f"run.{name}", {}))


@pytest.fixture
def observers(install_plugin):
    def make(body):
        hanging = install_plugin(OBSERVER.replace("BODY", body), "observer.bell")
        return hanging, install_plugin(OBSERVER.replace("BODY", "pass"), "observer.later")

    return make


def test_an_observer_that_hangs_does_not_hang_a_run_and_the_next_one_sees_everything(observers, make_project):
    hanging, later = observers("time.sleep(3600)")
    project = make_project("[observer.bell]\ntimeout = 0.2\n")
    began = time.monotonic()
    with pytest.warns(
        RuntimeWarning, match=r"observer\.bell.*hangs on run\.a and gets no more events.*1\.2 s"
    ) as warned:
        happen(project, "abc")
    assert time.monotonic() - began < 10
    assert len(warned) == 1
    assert sys.modules[hanging].seen == ["run.a"]
    assert sys.modules[later].seen == ["run.a", "run.b", "run.c"]


def test_an_observer_that_hangs_is_waited_for_no_longer_than_it_says_by_default(observers, make_project):
    observers("pass")
    project = make_project()
    happen(project, "a")
    assert {each._seconds for each in project._observer_calls._deadlines.values()} == {10.0}


def test_an_observer_is_called_on_one_thread_always_and_finds_its_options_as_they_are(observers, make_project):
    hanging, _ = observers("assert options == {'timeout': 3, 'a': 1}")
    project = make_project("[observer.bell]\ntimeout = 3\na = 1\n")
    happen(project, "ab")
    assert len(sys.modules[hanging].threads) == 1


def test_a_plugin_that_is_slow_to_import_says_so_once_while_it_is_imported(install_plugin, project, monkeypatch):
    monkeypatch.setattr("mlopsfw.kernel.plugins.manager.SLOW", 0.1)
    install_plugin("import time\ntime.sleep(1)\n" + OBSERVER.replace("BODY", "pass"), "observer.bell")
    with pytest.warns(RuntimeWarning, match=r"observer\.bell.*is still being imported after 0\.1 s") as warned:
        happen(project, "ab")
    assert len(warned) == 1


# -- the deadline itself -------------------------------------------------------------------------------------------------------


def oops():
    raise KeyboardInterrupt


def test_what_a_function_returns_and_raises_passes():
    limited = Deadline(5, {})
    assert limited.call(divmod, 7, 2) == (3, 1)
    for kind, function in (
        (ZeroDivisionError, lambda: 1 / 0),
        (TimeoutError, socket_times_out),
        (KeyboardInterrupt, oops),
    ):
        with pytest.raises(kind):
            limited.call(function)
    assert limited.call(abs, -1) == 1


def socket_times_out():
    raise TimeoutError("its own")


def test_a_function_that_returns_late_can_be_called_again():
    limited, gate = Deadline(0.1, {}), threading.Event()
    with pytest.raises(PluginTimeout, match=r"0\.1 s"):
        limited.call(gate.wait, 30)
    with pytest.raises(PluginTimeout, match="has not returned yet"):
        limited.call(abs, -1)
    gate.set()
    limited._last.result(10)
    assert limited.call(abs, -1) == 1


def test_the_thread_ends_with_the_deadline():
    limited = Deadline(5, {})
    limited.call(abs, -1)
    thread = limited._thread
    del limited
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_threads_that_call_at_once_take_turns_and_none_counts_as_a_hang():
    deadline, running, most = Deadline(30, {}), [], []

    def slowly():
        running.append(1)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(deadline.call, slowly) for _ in range(32)]:
            done.result()
    assert most == [1] * 32


def test_a_call_from_within_a_call_returns():
    first, second = Deadline(5, {}), Deadline(5, {})
    assert first.call(lambda: second.call(lambda: first.call(lambda: "inner"))) == "inner"
