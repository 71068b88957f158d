"""The progress of `data add` on a terminal: rows, bytes and time left while it runs, and nothing where nobody looks."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    (tmp_path / "big.csv").write_text("id,name\n" + "1,some text that takes room\n" * 3_000_000, encoding="utf-8")
    (tmp_path / "small.csv").write_text("id\n1\n", encoding="utf-8")
    return tmp_path


def on_a_terminal(folder, *arguments):
    """Return what a command writes to a terminal on its standard error, and its exit code."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mlopsfw", *arguments]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    running = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 65536):
            seen += data
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    finally:
        os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()), running.wait()


def test_rows_bytes_and_the_time_left_are_shown_while_a_file_is_read(folder):
    seen, code = on_a_terminal(folder, "data", "add", "d", "big.csv")
    assert code == 0
    counts = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) rows", seen)]
    assert counts == sorted(counts)
    assert any(0 < count < 3_000_000 for count in counts)
    size = (folder / "big.csv").stat().st_size / 1e6
    shown = re.findall(r"([\d.]+)/([\d.]+) MB", seen)
    assert {whole for _, whole in shown} == {f"{size:.1f}"}
    assert re.search(r"\d:\d\d:\d\d", seen), "the time left"


@pytest.mark.parametrize("arguments", [("--quiet",), ()])
def test_nothing_is_shown_where_nobody_looks(folder, arguments):
    command = ["data", "add", "d", "small.csv", *arguments]
    if arguments:
        assert on_a_terminal(folder, *command) == ("", 0)
        return
    done = subprocess.run([sys.executable, "-m", "mlopsfw", *command], cwd=folder, capture_output=True, check=True)
    assert done.stderr == b""
