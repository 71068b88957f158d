"""The house stands: contracts know the core alone, the kernel knows no plugin, plugins know no other plugin."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(p.parent for p in (ROOT / "plugins").glob("*/__init__.py"))
PRIVATE = {"mlopsfw.cli"}


def imported(folder):
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((file, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield file, node.module


def test_the_import_contracts_hold():
    out = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stdout + out.stderr


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.name)
def test_a_plugin_knows_the_kernel_and_the_core_and_no_other_plugin(plugin):
    others = {p.name for p in PLUGINS} - {plugin.name}
    wrong = [(f.name, m) for f, m in imported(plugin) if m.partition(".")[0] in others or m in PRIVATE]
    assert wrong == []


def test_the_kernel_imports_no_plugin():
    names = {p.name for p in PLUGINS}
    assert [(f.name, m) for f, m in imported(ROOT / "mlopsfw") if m.partition(".")[0] in names] == []


def test_modules_and_functions_stay_small():
    longest = {
        f: len(f.read_text(encoding="utf-8").splitlines())
        for d in ("mlopsfw", "plugins")
        for f in (ROOT / d).rglob("*.py")
    }
    assert {f.name: n for f, n in longest.items() if n > 400} == {}


def test_nothing_calls_pickle():
    banned = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for folder in ("mlopsfw", "mlopsfw_core", "plugins"):
        assert [(f.name, m) for f, m in imported(ROOT / folder) if m.partition(".")[0] in banned] == []
