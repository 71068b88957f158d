"""The command line where standard streams are closed or full, where its folder is gone, and where a path leads nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsfw.cli import run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    (tmp_path / "a.csv").write_text("a\n1\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(folder, line):
    line = line.replace("mlopsfw", f"{sys.executable} -m mlopsfw", 1)
    return subprocess.run(["bash", "-c", line], cwd=folder, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&- <&-"])
def test_a_verb_works_with_closed_streams(folder, closed):
    assert shell(folder, f"mlopsfw data add d a.csv {closed}").returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("verb", ["--help", "--version", "status"])
def test_an_output_without_room_is_one_line(folder, verb):
    out = shell(folder, f"mlopsfw {verb} > /dev/full")
    assert (out.returncode, len(out.stderr.splitlines()) <= 2) == (1, True)
    assert "the output: No space left" in out.stderr


def test_a_current_folder_that_is_gone_is_an_error_with_the_way_out(folder, capsys, monkeypatch):
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    assert run(["status"]) == 2
    assert "the current folder does not exist any more" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["loop.csv", f"{'a' * 300}.csv", "a.csv/x.csv", "pipe.csv"])
def test_a_path_that_leads_nowhere_is_the_users_to_correct(folder, capsys, name):
    (folder / "loop.csv").symlink_to("loop.csv")
    os.mkfifo(folder / "pipe.csv")
    assert run(["data", "add", "d", name, "--quiet"]) in {1, 2}
    assert name in capsys.readouterr().err


def test_an_interrupt_before_the_verb_begins_is_no_traceback(folder):
    code = "import os, signal, sys; import mlopsfw.cli as cli; cli.run = lambda _: os.kill(os.getpid(), signal.SIGINT); cli.main()"
    out = subprocess.run([sys.executable, "-c", code], cwd=folder, check=False, capture_output=True, text=True)
    assert (out.returncode, out.stderr) == (130, "Interrupted.\n")
