"""kill -9 of the coordinator around every append of a run: what was finished is not run again, and the run ends right."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mlopsfw.pipeline.run.display import Display
from mlopsfw.project.facade import Project

TOML = """[project]
name = "kills"
[steps.one]
python = "steps:one"
[steps.two]
python = "steps:two"
inputs = { x = "one" }
cache = false
[steps.three]
python = "steps:three"
inputs = { x = "two", y = "one" }
"""
STEPS = """
def note(name):
    with open("ran", "a") as file: file.write(name + "\\n")
def one():
    note("one"); return 1
def two(x):
    note("two"); return x + 1
def three(x, y):
    note("three"); return [x, y]
"""
STRIKE = """
import os, signal, sys
from pathlib import Path
from mlopsfw.kernel.ledger.stream import Stream
from mlopsfw.pipeline.run.display import Display
from mlopsfw.project.facade import Project

when, number = sys.argv[2], int(sys.argv[3])
count, place = 0, Stream._append

def strike(self, *args, **kwargs):
    global count
    count += 1
    if count == number and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    event = place(self, *args, **kwargs)
    if count == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return event

Stream._append = strike
with Project.open(Path(sys.argv[1])) as project:
    project.pipeline.start(Display(project.workspace, None))
print(count)
"""
APPENDS = 10  # run.started, for each step: started, finished, and for those that are cached its result; run.finished


def ran(root: Path) -> Counter[str]:
    file = root / "ran"
    return Counter(file.read_text().split()) if file.exists() else Counter()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "mlopsfw.toml").write_text(TOML)
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


def strike(root: Path, when: str, number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", STRIKE, str(root), when, str(number)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_appends_are_as_many_as_are_struck_at(root):
    assert strike(root, "after", 1000).stdout.strip() == str(APPENDS)


BOUNDARIES = [
    ("before", 1),
    *(("after", number) for number in range(1, APPENDS + 1)),
    # the same boundaries from their other side
    *(pytest.param("before", number, marks=pytest.mark.nightly) for number in range(2, APPENDS + 1)),
]


@pytest.mark.faults
@pytest.mark.parametrize(("when", "number"), BOUNDARIES)
def test_a_kill_at_a_boundary_redoes_nothing_that_was_finished(root, when, number):
    assert strike(root, when, number).returncode == -9
    with Project.open(root) as project:
        if not project.runs.ids():  # struck before the run existed
            assert project.pipeline.start(Display(project.workspace, None)).status == "done"
            return
        view = project.runs.get("latest")
        finished = {step.name for step in view.steps.values() if step.status == "done"}
        before = ran(root)
        if view.status == "done":
            assert (when, number) == ("after", APPENDS)
            return
        outcome = project.pipeline.resume(Display(project.workspace, None), project.pipeline.latest())
        assert (outcome.status, outcome.run) == ("done", view.id)
        assert project.ledger.stream(f"run/{view.id}").head() > view.head
    again = ran(root) - before
    assert not again.keys() & finished
    assert ran(root).keys() == {"one", "two", "three"}
    assert max(ran(root).values()) <= 2
    assert sum(ran(root).values()) <= 4  # at most the one step that was in flight ran twice
