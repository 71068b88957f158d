"""Every door that takes bytes or buffers stands a million inputs of a coverage-guided fuzzer: no crash, no undocumented error.

A push runs a twentieth of them from the same seeds. One line in TARGETS for each file of this folder. By hand, for longer: MLOPSFW_FUZZ_SCALE=10 pytest -m nightly tests/fuzz.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

TARGETS = {  # inputs, by what each costs
    "online_state": 40_000,
    "reference_state": 50_000,
    "profiles": 150_000,
    "samples": 40_000,
    "tables": 40_000,
    "columns": 300_000,
    "texts": 250_000,
    "features": 320_000,
}


def run(target: str, inputs: int, folder: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run one target in a process of its own, from the same seeds each time."""
    seeds, found = folder / "seeds", folder / "found"
    seeds.mkdir()
    found.mkdir()
    for seed in range(40):
        (seeds / str(seed)).write_bytes(random.Random(seed).randbytes(20 * (seed + 1)))
    options = [f"-runs={inputs}", "-max_len=1024", "-len_control=0", "-seed=1", "-timeout=30", "-rss_limit_mb=4096"]
    options.append(f"-artifact_prefix={folder}/")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [path, str(HERE.parent / "core"), *sys.path])),
    }
    command = [sys.executable, str(HERE / "fuzz.py"), target, *options, str(found), str(seeds)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "share", [pytest.param(0.05, id="push"), pytest.param(1, id="nightly", marks=pytest.mark.nightly)]
)
@pytest.mark.parametrize("target", TARGETS)
def test_no_input_crashes_or_raises_what_is_not_documented(target, share, tmp_path):
    wanted = int(TARGETS[target] * share * float(os.environ.get("MLOPSFW_FUZZ_SCALE", "1")))
    done = run(target, wanted, tmp_path)
    assert done.returncode == 0, (done.stderr[-2000:] + done.stdout)[-6000:]  # the error is on stdout
    assert int(re.search(r"Done (\d+) runs", done.stderr)[1]) >= wanted


def test_a_million_inputs_are_asked_for():
    assert sum(TARGETS.values()) >= 1_000_000


def test_every_target_of_the_folder_is_run():
    files = {path.stem for path in HERE.glob("*.py")} - {"fuzz", "inputs", "test_fuzz"}
    assert files == set(TARGETS)


def test_an_undocumented_error_would_be_seen(tmp_path):
    (tmp_path / "planted.py").write_text("def test_one(raw):\n    assert len(raw) < 100\n", encoding="utf-8")
    done = run("planted", 1000, tmp_path, str(tmp_path))
    assert done.returncode != 0
    assert "AssertionError" in done.stdout + done.stderr
