"""A commit killed at any of its writes: what was acknowledged is there and whole, what was not is absent or whole, and work goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

STRIDES = [11, pytest.param(1, marks=pytest.mark.nightly)]
"""Every n-th write is struck; by night each."""

COMMITTER = """
import os, signal, sys
from pathlib import Path
import polars as pl
from mlopsfw.data.datasets.delta import DeltaLog
from mlopsfw.project.facade import Project

strike, crossed = int(sys.argv[2]), 0

def watched(real):
    def call(*arguments, **keywords):
        global crossed
        crossed += 1
        if crossed == strike:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **keywords)
    return call

project = Project.open(Path(sys.argv[1]))
first = pl.DataFrame({"id": [1, 2]})
for name in ("fsync", "link", "replace", "rename", "unlink", "open"):
    setattr(os, name, watched(getattr(os, name)))
DeltaLog._write = watched(DeltaLog._write)
for number in range(3):
    version = project.datasets.commit("kills", pl.DataFrame({"id": [number * 2, number * 2 + 1]}), "append")
    sys.stdout.write(f"{version.version}\\n"); sys.stdout.flush()
project.datasets.restore("kills", 1)
sys.stdout.write("4\\n"); sys.stdout.flush()
sys.stdout.write(f"crossed {crossed}\\n")
"""

ROWS = {1: [0, 1], 2: [0, 1, 2, 3], 3: [0, 1, 2, 3, 4, 5], 4: [0, 1]}


def commit_until(root: Path, strike: int) -> list[str]:
    child = subprocess.run(
        [sys.executable, "-c", COMMITTER, str(root), str(strike)], capture_output=True, text=True, check=False
    )
    assert child.returncode in (0, -9), child.stderr
    return child.stdout.split("\n")[:-1]


def check(project, acknowledged: int) -> None:
    """What was acknowledged is there; all that is there is whole; the next commit follows on; other readers see it."""
    datasets = project.datasets
    there = len(datasets.history("kills").versions)
    assert there in (acknowledged, acknowledged + 1)
    for version in range(1, there + 1):
        assert datasets.verify(f"kills@{version}").version == version
        assert datasets.scan("kills", version).collect()["id"].to_list() == ROWS[version]
    after = datasets.commit("kills", pl.DataFrame({"id": [99]}))
    assert (after.version, after.rows) == (there + 1, len(ROWS.get(there, [])) + 1)
    for version in datasets.log("kills"):
        theirs = pl.read_delta(project.storage.table_location("datasets/kills").uri, version=version.table_version)
        assert theirs["id"].sort().to_list() == datasets.scan(version).collect()["id"].sort().to_list()
    datasets.tidy("kills", older=-10)
    files = {file.path for v in datasets.log("kills") for file in datasets.manifest(v).files}
    assert {path for path, _ in datasets.files("kills").list()} == files


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stride", STRIDES)
def test_a_commit_killed_at_any_write_breaks_nothing(tmp_path, stride):
    from mlopsfw.project.facade import Project

    def fresh(name: str) -> Project:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mlopsfw.toml").write_text('[project]\nname = "kills"\n')
        return Project.open(tmp_path / name)

    with fresh("whole") as project:
        *numbers, crossed = commit_until(project.root, 0)
        assert numbers == ["1", "2", "3", "4"]
        total = int(crossed.split()[1])
    assert total > 40
    for strike in range(1, total + 1, stride):
        with fresh(f"strike-{strike}") as project:
            check(project, len(commit_until(project.root, strike)))
