"""A project whose storage is on S3 and whose environment `cluster` runs on a Ray cluster; its runs by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

TOML = """
[project]
name = "cluster"

[storage.object]
url = "{bucket}/project"
options = {options}

[env.cluster.engine]
use = "ray"
[env.cluster.engine.ray]
address = "{address}"
grace = 1

[steps.rows]
python = "work:rows"
[steps.left]
python = "work:side"
inputs = {{ rows = "rows" }}
params = {{ name = "left", marks = "{marks}" }}
[steps.right]
python = "work:side"
inputs = {{ rows = "rows" }}
params = {{ name = "right", marks = "{marks}" }}
[steps.both]
python = "work:both"
inputs = {{ left = "left", right = "right" }}
"""
WORK = """
import os
import time
from pathlib import Path

import polars as pl

from helpers import grown


def rows():
    return pl.DataFrame({"x": range(1000)})


def side(rows, name, marks):
    mark = Path(marks) / f"{name}-{time.time_ns()}"
    mark.write_text(os.environ.get("MLOPSFW_NODE", "local"))
    while not (Path(marks) / "go").exists():
        time.sleep(0.05)
    return grown(rows, len(name))


def both(left, right):
    return {"left": left["x"].sum(), "right": right["x"].sum()}
"""
HELPERS = "def grown(rows, by):\n    return rows.with_columns(rows['x'] * by)\n"


def make_project(tmp_path, s3_server, bucket, cluster) -> Path:
    marks = tmp_path / "marks"
    marks.mkdir()
    project = tmp_path / "project"
    project.mkdir()
    options = "{ " + ", ".join(f'{name} = "{value}"' for name, value in s3_server.referring.items()) + " }"
    (project / "mlopsfw.toml").write_text(
        TOML.format(bucket=bucket, options=options, address=cluster.address, marks=marks)
    )
    (project / "work.py").write_text(WORK)
    (project / "helpers.py").write_text(HELPERS)
    return project


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlopsfw", "--project", str(root), *arguments, "--json"]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(process: subprocess.Popen[str], seconds: float = 120) -> dict:
    out, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors + out
    documents = [
        line for line in out.splitlines() if line.startswith("{")
    ]  # Ray tells of a dead node on the same stream
    return json.loads(documents[-1])


def run(root: Path, *arguments: str) -> dict:
    return outcome(start(root, *arguments))


def steps_of(root: Path) -> dict:
    command = [sys.executable, "-m", "mlopsfw", "--project", str(root), "status", "--json"]
    return json.loads(subprocess.check_output(command, text=True))["steps"]


def digests(answer: dict) -> dict:
    return {(step, name): a["digest"] for step, outputs in answer["outputs"].items() for name, a in outputs.items()}


def wait_for(marks: Path, count: int) -> dict[str, str]:
    end = time.monotonic() + 150
    while True:
        found = {mark.name.partition("-")[0]: mark.read_text() for mark in marks.iterdir()}
        if len(found) == count and all(found.values()):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)
