"""The core's tests pass with every extension built under AddressSanitizer and UndefinedBehaviorSanitizer, threads under ThreadSanitizer.

Each sanitizer is shown to be awake by a planted fault, on every push. The two builds of every extension are for the night.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Reads one double past what Arrow or Python allocated; shifts a sign bit out. Each is what the suite would catch in a kernel.
PLANTED = """
import ctypes, sys
import numpy as np
import pyarrow as pa
library = ctypes.CDLL(sys.argv[1])
library.past_the_end.restype = ctypes.c_double
values = pa.array(np.arange(8.0)[np.arange(8)]).take(pa.array(range(8)))
address = values.buffers()[1].address
if sys.argv[2] == "over-read":
    print(library.past_the_end(ctypes.c_void_p(address), ctypes.c_long(values.buffers()[1].size // 8 + 8)))
else:
    print(library.overflown(ctypes.c_int(2**31 - 1)))
"""
SOURCE = "double past_the_end(double *x, long n) { return x[n]; }\nint overflown(int x) { return x + 1; }\n"


# Two threads add to one number; ctypes leaves the GIL alone.
RACE = """
import ctypes, sys, threading
library = ctypes.CDLL(sys.argv[1])
together = threading.Barrier(2)
threads = [threading.Thread(target=lambda: (together.wait(), library.add(1_000_000))) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
RACING = "static long total;\nvoid add(int n) { for (int i = 0; i < n; ++i) *(volatile long *)&total += i; }\n"


def sanitized(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as ci/sanitize.sh runs the tests."""
    found = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    memory = {"ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    environment = {**os.environ, **memory, "LD_PRELOAD": " ".join(found)}
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "report"), [("over-read", "heap-buffer-overflow"), ("overflow", "signed integer overflow")]
)
def test_a_planted_fault_is_seen(kind, report, tmp_path):
    (tmp_path / "planted.c").write_text(SOURCE, encoding="utf-8")
    flags = ["-shared", "-fPIC", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    library = tmp_path / "planted.so"
    subprocess.run(["gcc", *flags, "-o", str(library), str(tmp_path / "planted.c")], check=True)
    done = sanitized([sys.executable, "-c", PLANTED, str(library), kind])
    assert done.returncode != 0, done.stdout
    assert report in done.stderr


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_the_suite_runs_clean_under_both_sanitizers():
    arguments = ["tests/core", "-q", "-m", "not slow", "--hypothesis-profile=sanitized"]
    environment = {**os.environ, "PYTHON": sys.executable}
    command = ["bash", str(ROOT / "ci/sanitize.sh"), str(ROOT / "build/sanitize"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


@pytest.mark.slow
def test_a_planted_race_is_seen(tmp_path):
    (tmp_path / "planted.c").write_text(RACING, encoding="utf-8")
    library = tmp_path / "planted.so"
    flags = ["-shared", "-fPIC", "-g1", "-fsanitize=thread"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(tmp_path / "planted.c")], check=True)
    found = subprocess.run(
        ["gcc", "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = {**os.environ, "LD_PRELOAD": found, "TSAN_OPTIONS": "exitcode=66"}
    command = [sys.executable, "-c", RACE, str(library)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    assert done.returncode == 66, done.stdout + done.stderr
    assert "ThreadSanitizer: data race" in done.stderr


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_threads_that_share_what_was_prepared_once_do_not_race():
    environment = {**os.environ, "PYTHON": sys.executable, "SANITIZE": "thread"}
    command = ["bash", str(ROOT / "ci/sanitize.sh"), str(ROOT / "build/sanitize-threads")]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert "shared by 4 threads" in done.stdout
