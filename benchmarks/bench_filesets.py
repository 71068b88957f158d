"""Sets of files: what adding costs, and adding 1% more, beside `dvc add` and `dvc commit` on the same folder, and beside the least that
can be: one walk that looks at every file, and a command that does nothing.

`MLOPSFW_BENCH_FILES=100000` and `MLOPSFW_BENCH_BYTES=1000000000` for the full sizes.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

FILES = int(os.environ.get("MLOPSFW_BENCH_FILES", "2000"))
BYTES = int(os.environ.get("MLOPSFW_BENCH_BYTES", "50000000"))
PEERS = os.environ.get("MLOPSFW_PEERS_PYTHON", "")


def fill(folder, first, count, size):
    """Write `count` files of `size` random bytes each, a thousand to a folder."""
    rng = np.random.default_rng(first)
    for number in range(first, first + count):
        file = folder / f"{number // 1000:04}" / f"{number:07}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(rng.bytes(size))


def seconds(command, folder):
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def ours(folder):
    return seconds(["mlopsfw", "data", "add", "files", "data", "--files"], folder)


def dvc(folder):
    return seconds([str(Path(PEERS).with_name("dvc")), "add", "data"], folder) + seconds(
        [str(Path(PEERS).with_name("dvc")), "commit", "-f", "data.dvc"], folder
    )


def floor(folder):
    """Return the seconds of `os.scandir` and `stat` of every file below a folder, in Python."""

    def walk(at):
        for entry in os.scandir(at):
            if entry.is_dir(follow_symlinks=False):
                walk(entry.path)
            else:
                seen.append(entry.stat())

    seen, began = [], time.perf_counter()
    walk(folder / "data")
    return time.perf_counter() - began


def project(folder):
    folder.mkdir()
    (folder / "mlopsfw.toml").write_text('[project]\nname = "bench"\n', encoding="utf-8")
    if PEERS:
        seconds([str(Path(PEERS).with_name("dvc")), "init", "--no-scm"], folder)


@pytest.mark.parametrize(("count", "size"), [(FILES, 2_000), (BYTES // 10_000_000, 10_000_000)], ids=["small", "large"])
def test_adding_one_percent(benchmark, tmp_path, count, size, capsys):
    folder = tmp_path / "p"
    project(folder)
    fill(folder / "data", 0, count, size)
    time.sleep(2.1)  # files younger than two seconds are read again
    first = benchmark.pedantic(lambda: ours(folder), rounds=1)
    peer = dvc(folder) if PEERS else float("nan")
    fill(folder / "data", count, max(1, count // 100), size)
    more, peer_more = ours(folder), dvc(folder) if PEERS else float("nan")
    time.sleep(2.1)  # so that nothing is read again
    ours(folder)
    nothing, least = ours(folder), floor(folder) + seconds(["mlopsfw", "data", "log", "files"], folder)
    with capsys.disabled():
        print(f"\n{count:,} files of {size:,} bytes: {first:.2f} s, 1% more {more:.2f} s, nothing more {nothing:.2f} s")
        print(f"the walk alone and a command that only lists versions: {least:.2f} s")
        print(
            f"dvc add and commit: {peer:.2f} s, 1% more {peer_more:.2f} s: {peer / first:.1f} ×, {peer_more / more:.1f} ×"
        )
