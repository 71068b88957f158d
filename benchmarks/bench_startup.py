"""`mlopsfw --help`, start to exit, beside an interpreter that does nothing and beside its peers' help.

Run: python -m pytest benchmarks/bench_startup.py --benchmark-only
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from process_peers import clocked, measure, mlopsfw, needs_peers, peer, run


def helped(command, folder):
    """Return a function that asks for help and sees that it came."""

    def ask():
        assert "usage: " in run(command, folder).lower()

    return ask


def test_help_beside_bare_python(benchmark, tmp_path):
    bare = clocked(lambda: run([sys.executable, "-c", "pass"], tmp_path))
    seconds = measure(benchmark, helped(mlopsfw("--help"), tmp_path), {"python -c pass": bare}, rounds=21)
    times = seconds["mlopsfw"] / seconds["python -c pass"]
    print(f"    {times:.1f} times bare Python (at most 4)")
    assert times <= 4


@needs_peers
@pytest.mark.parametrize("name", ["dvc", "kedro", "mlflow"])
def test_help_beside_a_peer(benchmark, tmp_path, name):
    theirs = clocked(helped(peer(name, "--help"), tmp_path))
    seconds = measure(benchmark, helped(mlopsfw("--help"), tmp_path), {name: theirs})
    assert seconds["mlopsfw"] < seconds[name]
