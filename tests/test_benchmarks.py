"""A benchmark promises to say what it was measured on, on the terminal and in its file: ratios differ between processors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMES = {"processor", "cores", "instructions", "sort", "load"}


@pytest.mark.slow
def test_a_benchmark_names_the_processor_and_what_was_chosen_on_it(tmp_path):
    file = tmp_path / "figures.json"
    arguments = ["benchmarks/bench_core_profile.py", "-k", "bytes", "--benchmark-only", f"--benchmark-json={file}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("processor: ")]
    assert {part.partition(": ")[0] for part in line.split("; ")} == NAMES
    assert set(json.loads(file.read_text(encoding="utf-8"))["machine_info"]["mlopsfw"]) == NAMES
