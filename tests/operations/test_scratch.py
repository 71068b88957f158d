"""Scratch folders: private, removed at the end, and after `kill -9` by the next use or by `gc`."""

import fcntl
import json
import signal
import subprocess
import sys
import tempfile

import pytest
from click.testing import CliRunner

from mlopsfw.cli.root import cli
from mlopsfw.kernel.workspace import Workspace
from mlopsfw.operations.scratch import remove_abandoned, scratch_folder

_HOLD = """
import sys, time
from pathlib import Path
from mlopsfw.kernel.workspace import Workspace
from mlopsfw.operations.scratch import scratch_folder

with scratch_folder(Workspace(Path(sys.argv[1])), "reproduce-") as folder:
    (folder / "rows.arrow").write_text("rows of people")
    print(folder.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


@pytest.fixture
def holder(tmp_path):
    """Return a process that uses a scratch folder, and the folder's name."""
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def _names(workspace):
    return sorted(path.name for path in workspace.private_folder("scratch").iterdir())


def _gc(project, *words):
    return CliRunner().invoke(cli, ["--project", str(project.root), "gc", *words])


def test_a_folder_is_private_and_gone_in_the_end(workspace):
    with scratch_folder(workspace, "step-") as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "rows").touch()
        assert remove_abandoned(workspace) == []
    assert _names(workspace) == []


def test_the_folder_of_a_killed_process_goes_at_the_next_use_and_that_of_a_running_process_stays(workspace, holder):
    process, name = holder
    with scratch_folder(workspace):
        assert name in _names(workspace)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with scratch_folder(workspace) as own:
        assert _names(workspace) == [own.name]


def test_a_folder_that_another_process_takes_for_abandoned_before_it_is_locked_is_made_anew(workspace, monkeypatch):
    first, mkdtemp = [], tempfile.mkdtemp

    def taken(**kwargs):
        folder = mkdtemp(**kwargs)
        if not first:
            first.append(folder)
            remove_abandoned(workspace)
        return folder

    monkeypatch.setattr("tempfile.mkdtemp", taken)
    with scratch_folder(workspace) as folder:
        assert folder.is_dir()
        assert [str(folder)] != first


def test_a_folder_that_is_removed_between_its_opening_and_its_lock_is_made_anew(workspace, monkeypatch):
    first, flock = [], fcntl.flock

    def lock(descriptor, how):
        if how == fcntl.LOCK_EX and not first:
            first.extend(workspace.private_folder("scratch").iterdir())
            first[0].rmdir()
        flock(descriptor, how)

    monkeypatch.setattr("fcntl.flock", lock)
    with scratch_folder(workspace) as folder:
        assert folder.is_dir()
        assert [folder] != first


def test_gc_removes_the_scratch_of_killed_processes_and_a_dry_run_names_it(project):
    left = project.private_folder("scratch", "step-killed")
    (left / "rows.arrow").touch()
    listed = json.loads(_gc(project, "--dry-run", "--json").output)
    assert listed["scratch"] == ["step-killed"]
    assert left.exists()
    assert "1 scratch folders of killed processes deleted" in _gc(project).output
    assert not left.exists()


def test_an_erasure_removes_the_scratch_of_killed_processes_whosever_rows_it_holds(project):
    left = project.private_folder("scratch", "step-killed")
    (left / "rows.arrow").touch()
    (holding,) = next(each for each in project.components if each.name == "operations").holdings()
    assert holding.find(None).shown == {"scratch": {"folders of killed processes": 1}}
    assert left.exists()
    assert holding.erase(None).recorded == {}
    assert not left.exists()
    assert holding.erase(None).shown == {}
