"""The scripts of docs/migration.md bring over what the other tools wrote."""

from __future__ import annotations

import hashlib
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import blocks_of

from mlopsfw import Project

SCRIPTS = {block.file: block.text for block in blocks_of("migration.md", "python")}


@pytest.fixture
def bring(tmp_path):
    """Return a runner of a script in the folder of a new project."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "mlopsfw.toml").write_text('[project]\nname = "moved"\n')
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(script, *arguments):
        (tmp_path / script).write_text(SCRIPTS[script], encoding="utf-8")
        command = [sys.executable, str(tmp_path / script), *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    run.folder = folder
    return run


def test_versions_of_a_file_that_dvc_tracks_come_over_from_its_cache(bring, tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    git = ["git", "-C", str(repository), "-c", "user.name=ada", "-c", "user.email=ada@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    for content in (b"id,price\n1,10\n2,20\n", b"id,price,shop\n1,10,A\n2,21,B\n3,30,B\n"):
        digest = hashlib.md5(content).hexdigest()
        cached = repository / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
        cached.parent.mkdir(parents=True)
        cached.write_bytes(content)
        pointer = (
            f"outs:\n- md5: {digest}\n  size: {len(content)}\n  hash: md5\n  path: data.csv\n"  # as DVC 3.67 writes it
        )
        (repository / "data.csv.dvc").write_text(pointer)
        subprocess.run([*git, "add", "data.csv.dvc"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "data"], check=True)
    done = bring("from_dvc.py", repository, "data.csv.dvc", "prices")
    assert done.returncode == 0, done.stderr
    with Project.open(bring.folder) as project:
        assert [version.rows for version in project.datasets.history("prices").versions] == [2, 3]
        assert project.datasets.scan("data:/prices@2").collect().columns == ["id", "price", "shop"]
    cached.unlink()
    again = bring("from_dvc.py", repository, "data.csv.dvc", "prices")
    assert again.returncode == 1
    assert "dvc fetch" in again.stderr


def test_both_decisions_about_drift_are_shown(bring, tmp_path):
    for name, shift in (("a.csv", 0), ("b.csv", 3)):
        rows = [f"{math.sin(n) * 3 + shift},{n % 2}" for n in range(800)]
        (tmp_path / name).write_text("\n".join(["x,y", *rows]))
    done = bring("from_evidently.py", tmp_path / "a.csv", tmp_path / "b.csv")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(": ") for line in done.stdout.splitlines())
    assert re.fullmatch(r"ks True, as Evidently decides \w+ True", lines["x"])
    assert lines["y"].endswith("False")


def test_an_onnx_file_is_registered_served_and_asked(bring, tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto as T
    from onnx import helper as h

    column = lambda name: h.make_tensor_value_info(name, T.FLOAT, ["rows"])  # noqa: E731
    nodes = [h.make_node("Add", ["a", "b"], ["value"])]
    graph = h.make_graph(nodes, "sum", [column("a"), column("b")], [column("value")])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9), tmp_path / "sum.onnx")
    rows = [f"{n},{2 * n},{3 * n}" for n in range(30)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,y", *rows]))
    try:
        done = bring("from_bentoml.py", tmp_path / "sum.onnx", tmp_path / "rows.csv", "y", "sum")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "[0.0, 3.0, 6.0]"
    finally:
        subprocess.run([sys.executable, "-m", "mlopsfw", "endpoints", "stop", "sum"], cwd=bring.folder, check=False)
