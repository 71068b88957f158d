"""Checkpoints that a project takes by itself: after every so many events, and never at the cost of an append."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from mlopsfw import Project
from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.ledger.layout import entry_key
from mlopsfw.operations import checkpoint as checkpoints
from mlopsfw.operations import checkpointing
from mlopsfw.operations.audit import audit

TOML = '[audit]\ncheckpoint = "../elsewhere/checkpoints.jsonl"\nevery = 4\n'


def append(project, events, stream="model/delay"):
    for number in range(events):
        project.ledger.stream(stream).append(PlainRecord("test.happened", {"n": number}))


def lines(project):
    file = project.root.parent / "elsewhere" / "checkpoints.jsonl"
    return [checkpoints.decoded(line, "a line") for line in file.read_bytes().splitlines()] if file.exists() else []


def findings(project):
    return [found for found in project.doctor.examine() if found.check == "checkpoints"]


def test_after_every_so_many_events_a_checkpoint_is_taken_that_finds_a_cut_tail(make_project):
    with make_project(TOML) as project:
        append(project, 3)
    assert lines(project) == []
    with make_project(TOML) as project:
        append(project, 1)  # of another process: the count goes on
    (kept,) = lines(project)
    assert kept.heads["model/delay"].seq == 4
    with make_project(TOML) as project:
        append(project, 9)
    first, second = (line.heads["model/delay"].seq for line in lines(project)[1:])
    assert 8 <= first <= 12 <= second <= 13  # a thread takes it while the next events are appended
    assert findings(project)[0].level == "ok"
    for seq in (12, 13):
        project.storage.delete(entry_key("model/delay", seq))
    problems = [
        problem for stream in audit(project.storage, checkpoint=lines(project)[-1]) for problem in stream.problems
    ]
    assert "its tail was cut" in problems[0]


def test_processes_that_append_at_once_take_one_for_each_mark(make_project):
    make_project(TOML.replace("4", "40"))
    code = """
import sys
from mlopsfw import Project
from mlopsfw.cli import run
from mlopsfw.kernel.events.record import PlainRecord
with Project.open(sys.argv[1]) as project:
    for n in range(20):
        project.ledger.stream(sys.argv[2]).append(PlainRecord("test.happened", {"n": n}))
"""
    project = make_project(TOML.replace("4", "40"))
    command = [sys.executable, "-c", code, str(project.root)]
    started = [subprocess.Popen([*command, f"model/m{number}"]) for number in range(2)]
    assert [process.wait() for process in started] == [0, 0]
    (kept,) = lines(project)
    assert kept.events == 40


def test_an_event_of_a_worker_is_counted_once(make_project):
    toml = '[steps.a]\npython = "m:a"\n' + TOML.replace("4", "1000")
    project = make_project(toml, m="def a():\n    return 1\n")
    assert run(["--project", str(project.root), "run"]) == 0
    events = sum(stream.entries for stream in audit(project.storage))
    assert (project.root / ".mlopsfw" / "checkpoints" / "events").stat().st_size == events


def test_no_append_waits_for_a_checkpoint_and_the_end_of_the_project_does(make_project, monkeypatch):
    go_on, real = threading.Event(), checkpointing.take

    def slow(*args, **kwargs):
        assert go_on.wait(20)
        return real(*args, **kwargs)

    monkeypatch.setattr(checkpointing, "take", slow)
    with make_project(TOML) as project:
        append(project, 5)
        assert lines(project) == []
        go_on.set()
    assert len(lines(project)) == 1


def test_a_checkpoint_that_cannot_be_taken_fails_no_append_and_doctor_says_why(make_project):
    project = make_project(TOML)
    place = project.root.parent / "elsewhere" / "checkpoints.jsonl"
    place.mkdir(parents=True)
    with project:
        append(project, 4)
    (found,) = findings(project)
    assert found.level == "error"
    assert f"{place.resolve()}" in found.message.replace("project/../", "")
    place.rmdir()
    with make_project(TOML) as project:
        append(project, 4)
    assert findings(project)[0].level == "ok"


def test_a_ledger_that_lost_its_tail_is_no_new_measure(make_project, monkeypatch):
    monkeypatch.setattr(checkpointing, "_TRIES", (0.0,))
    with make_project(TOML) as project:
        append(project, 4)
    project.storage.delete(entry_key("model/delay", 4))
    with make_project(TOML) as project:
        append(project, 4, "model/other")
    assert len(lines(project)) == 1
    assert "its tail was cut" in findings(project)[0].message


def test_a_full_disk_fails_no_append(make_project, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    project = make_project(TOML)
    monkeypatch.setattr(checkpointing.AutomaticCheckpoints, "_crosses", full)
    append(project, 1, "model/other")
    assert project.ledger.stream("model/other").head() == 1


def test_git_gets_a_note_of_the_commit(make_project):
    project = make_project('[audit]\ncheckpoint = "git"\nevery = 4\n')
    git = ["git", "-C", str(project.root)]
    subprocess.run([*git, "init", "-q"], check=True)
    for key, value in (("user.name", "ada"), ("user.email", "ada@example.com")):
        subprocess.run([*git, "config", key, value], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    with project:
        append(project, 4)
    shown = subprocess.run([*git, "notes", "--ref", "refs/notes/mlopsfw", "show"], capture_output=True, check=True)
    assert checkpoints.decoded(shown.stdout.strip(), "the note").events == 4


@pytest.mark.parametrize(
    ("toml", "what"),
    [
        ('checkpoint = ".mlopsfw/checkpoints.jsonl"', r"mlopsfw\.toml:5: audit\.checkpoint: .* beside the ledger"),
        ('checkpoint = "a/../.mlopsfw/x"', "beside the ledger"),
        ('checkpoint = "x"\nevery = 0', "audit.every"),
        ('chekpoint = "x"', "Did you mean 'checkpoint'"),
    ],
)
def test_a_wrong_setting_is_an_error_of_the_file(tmp_path, toml, what):
    (tmp_path / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n\n[audit]\n{toml}\n')
    with pytest.raises(ConfigError, match=what):
        Project.open(tmp_path)
