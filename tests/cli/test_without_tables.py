"""An installation without the extra `data` asks all the same; any other verb says which extra to install."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mlopsfw.cli import run
from mlopsfw.testing.bundles import write_bundle

TOML = """
[project]
name = "shop"

[steps.count]
python = "counting:count"

[[alerter]]
use = "console"
"""
STEP = "import mlopsfw\n\ndef count():\n    mlopsfw.log_metric('rows', 3)\n    return 3\n"

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"polars", "pyarrow", "deltalake"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""
ASK = """
import contextlib, io, json, sys
from mlopsfw.cli import run

answers = {}
for line in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(line.split())
    answers[line] = [code, out.getvalue(), err.getvalue()]
import mlopsfw, mlopsfw_core, mlopsfw_core.drift, mlopsfw_core.online, mlopsfw_core.profile
answers["modules"] = sorted({"polars", "pyarrow", "deltalake"} & set(sys.modules))
print(json.dumps(answers))
"""

ASKING = {
    "--version": "mlopsfw",
    "plugins list": "trainer.torch",
    "schema": "mlopsfw.toml",
    "status": "count",
    "runs list": "shop",
    "runs show latest": "rows",
    "runs metrics latest": "rows",
    "runs log latest count": "",
    "runs diff latest latest": "No difference",
    "models list": "prices",
    "models show models:/prices@1": "prices",
    "alerts list": "No alerts",
    "endpoints list": "No endpoints",
    "data log orders": "2",
    "lineage data:/orders@1": "orders",
    "audit verify": "0 problems",
    "audit actors": "user:",
    "why count": "nothing changed",
    "run --plan": "count",
    "index rebuild": "Derived",
    "gc --dry-run": "blobs",
}
"""Verb → some of what it prints."""
READING = [
    "run",
    "resume",
    "data add orders orders.csv",
    "data show orders",
    "data check orders --infer",
    "drift orders.csv orders.csv",
    "predict models:/prices@1 orders.csv",
    "deploy models:/prices@1",
    "serve models:/prices@1",
    "labels show --model prices",
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Return verb → exit code, output and errors, all of one process that lacks Polars, PyArrow and deltalake."""
    folder = tmp_path_factory.mktemp("shop")
    for name, text in {"mlopsfw.toml": TOML, "counting.py": STEP, "orders.csv": "id,price\n1,2.5\n2,3.5\n"}.items():
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["data", "add", "orders", "orders.csv"]) == 0
        assert run(["run"]) == 0
        register(folder)
        site = tmp_path_factory.mktemp("site")
        (site / "sitecustomize.py").write_text(BLOCK)
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", ASK, json.dumps([*ASKING, *READING, "doctor"])]
        env = {**os.environ, "PYTHONPATH": path}
        out = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    return json.loads(out)


def register(folder):
    """Register a model, without training."""
    from mlopsfw import Project

    bundle = write_bundle(folder / "bundle")
    with Project.open(folder) as project:
        project.registry.register("prices", project.blobs.put_folder(bundle), datasets=["data:/orders@1"])


@pytest.mark.parametrize("line", ASKING)
def test_what_only_asks_works_without_the_packages_of_tables(answers, line):
    code, out, err = answers[line]
    assert (code, err) == (0, ""), err
    assert ASKING[line] in out


@pytest.mark.parametrize("line", READING)
def test_what_reads_tables_says_in_one_line_which_extra_to_install(answers, line):
    code, _, err = answers[line]
    assert code == 2, err
    assert err.count("\n") == 1
    assert "which is not installed. Run: pip install 'mlopsfw[data]'" in err


def test_doctor_says_so_too(answers):
    assert "pip install 'mlopsfw[data]'" in answers["doctor"][1]


def test_the_core_and_the_facade_are_imported_without_them(answers):
    assert answers["modules"] == []
