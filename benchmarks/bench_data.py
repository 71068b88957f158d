"""Data: ingest beside Polars, a small append to a large dataset beside DVC, the content digest beside hashing the bytes, diff by key.

    python -m pytest benchmarks/bench_data.py -s -o addopts=--import-mode=importlib
    MLOPSFW_PEERS_PYTHON=peers/bin/python python -m pytest benchmarks/bench_data.py -s …     # with DVC; see bench_pipeline.py

`MLOPSFW_BENCH_ROWS` sets the size (default 1,000,000 rows, about 150 MB of CSV). Every figure is the best of a few rounds, ours and the
peer's in turn; what comes out is asserted equal first.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlopsfw.digest import table_digest
from mlopsfw.project import Project

ROWS = int(os.environ.get("MLOPSFW_BENCH_ROWS", "1000000"))
PEERS = os.environ.get("MLOPSFW_PEERS_PYTHON", "")
ROUNDS = 3


def frame(rows: int, start: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(start)
    numbers = {f"f{i}": rng.normal(size=rows) for i in range(6)}
    names = pl.Series("name", rng.integers(0, 1000, rows)).cast(pl.String)
    return pl.DataFrame({"id": np.arange(start, start + rows), **numbers, "name": "n" + names})


def best(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def project(folder: Path) -> Project:
    folder.mkdir(exist_ok=True)
    (folder / "mlopsfw.toml").write_text('[project]\nname = "bench"\n')
    return Project.open(folder)


@pytest.fixture(scope="module")
def csv(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    frame(ROWS).write_csv(path)
    return path


def test_ingest_beside_polars(csv, tmp_path):
    ours = project(tmp_path / "ours").datasets
    number = iter(range(100))
    assert ours.scan(ours.add("first", [csv])).collect().equals(pl.read_csv(csv))
    pairs = []
    for _ in range(ROUNDS):
        theirs = best(lambda: pl.scan_csv(csv).sink_parquet(tmp_path / "o.parquet", sync_on_close="all"), 1)
        pairs.append((best(lambda: ours.add(f"d{next(number)}", [csv]), 1), theirs))
    mine, theirs = (min(side) for side in zip(*pairs, strict=True))
    size = csv.stat().st_size / 1e6
    print(f"\ningest {size:.0f} MB CSV: {mine:.2f} s, scan_csv().sink_parquet() {theirs:.2f} s: {mine / theirs:.2f} ×")


def test_ingest_takes_constant_memory(csv, tmp_path):
    code = (
        "import re, sys; from pathlib import Path; from mlopsfw.project import Project\n"
        "d = Project.open(Path(sys.argv[1])).datasets\n"
        "d.add('x', [Path(p) for p in sys.argv[2:]])\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) // 1024)"  # its own, not ours
    )
    peaks = []
    for copies in (1, 4):
        folder = project(tmp_path / f"p{copies}").root
        words = [sys.executable, "-c", code, folder, *[csv] * copies]
        peaks.append(int(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
    print(f"\npeak memory of ingest: {peaks[0]} MiB for one file, {peaks[1]} MiB for four times as much")
    assert peaks[1] < peaks[0] * 1.5


def test_appending_one_percent_costs_what_is_new(tmp_path):
    datasets = project(tmp_path / "ours").datasets
    datasets.commit("x", frame(ROWS), "replace")
    part = max(ROWS // 100, 1)
    number = iter(range(100))
    mine = best(lambda: datasets.commit("x", frame(part, ROWS + next(number) * part)))
    whole = best(lambda: datasets.commit("y", frame(ROWS), "replace", force=True), 1)
    print(f"\nappend of 1% to {ROWS:,} rows: {mine:.3f} s; writing all of it: {whole:.2f} s")
    assert datasets.verify("x").rows == ROWS + ROUNDS * part
    assert mine < whole / 4


@pytest.mark.skipif(not PEERS, reason="MLOPSFW_PEERS_PYTHON names no interpreter; see bench_pipeline.py")
def test_appending_beside_dvc(tmp_path):
    datasets = project(tmp_path / "ours").datasets
    datasets.commit("x", frame(ROWS), "replace")
    theirs = tmp_path / "dvc"
    theirs.mkdir()
    file = theirs / "x.parquet"
    frame(ROWS).write_parquet(file)

    def dvc(*words: str) -> None:
        subprocess.run([PEERS, "-m", "dvc", *words], cwd=theirs, check=True, capture_output=True, env={**os.environ, "DVC_NO_ANALYTICS": "1"})  # fmt: skip

    dvc("init", "--no-scm")
    dvc("add", "x.parquet")
    part = max(ROWS // 100, 1)
    more = frame(part, ROWS)
    mine = best(lambda: datasets.commit("x", more), 1)
    dvc("unprotect", "x.parquet")
    pl.concat([pl.read_parquet(file), more]).write_parquet(file)
    peer = best(lambda: dvc("add", "x.parquet"), 1)
    assert pl.read_parquet(file).equals(datasets.scan("x").collect())
    print(f"\n1% more of {ROWS:,} rows: {mine:.3f} s; dvc add {peer:.2f} s (its process included): {peer / mine:.0f} ×")


def test_the_digest_beside_hashing_the_bytes():
    table = frame(ROWS).to_arrow()
    data = table["f0"].combine_chunks().buffers()[1]
    floor = best(lambda: hashlib.sha256(data)) / data.size
    mine = best(lambda: table_digest(table)) / table.nbytes
    assert table_digest(table) == table_digest(table.to_batches(max_chunksize=999))
    print(f"\ncontent digest {1e-9 / mine:.2f} GB/s; bare sha256 on one core {1e-9 / floor:.2f} GB/s")


def test_diff_by_key(tmp_path):
    datasets = project(tmp_path / "ours").datasets
    before = frame(ROWS)
    changed = pl.when(pl.col("id") % 100 == 0).then(0.5).otherwise("f0").alias("f0")
    datasets.commit("x", before, "replace")
    datasets.commit("x", pl.concat([before.with_columns(changed).head(ROWS - 1000), frame(10, ROWS)]), "replace")
    found = datasets.diff("x", 1, 2, ["id"])
    assert (found.added, found.removed, found.changed) == (10, 1000, -(-(ROWS - 1000) // 100))
    seconds = best(lambda: datasets.diff("x", 1, 2, ["id"]))
    print(f"\ndiff of two versions of {ROWS:,} rows by key: {seconds:.2f} s")
