"""Data: a small append to a large dataset beside DVC, the content digest beside hashing the bytes.

    MLOPSFW_PEERS_PYTHON=peers/bin/python python -m pytest benchmarks/bench_data.py --benchmark-only     # README.md says what it holds

`MLOPSFW_BENCH_ROWS` sets the size (default 1,000,000 rows, about 150 MB of CSV). Ours and the peer's rounds alternate, and
medians are compared; what comes out is asserted equal.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from pathlib import Path

import polars as pl

from mlopsfw.data.tables.digest import table_digest

sys.path.insert(0, str(Path(__file__).parent))
from data_rows import ROWS, frame, project
from process_peers import PEERS, clocked, measure, needs_peers, run

ROUNDS = 3


def test_appending_one_percent_costs_what_is_new(benchmark, tmp_path):
    datasets = project(tmp_path / "ours").datasets
    datasets.commit("x", frame(ROWS), "replace")
    part, number, everything = max(ROWS // 100, 1), itertools.count(), frame(ROWS)
    whole = clocked(lambda: datasets.commit("y", everything, "replace", force=True))
    seconds = measure(
        benchmark,
        lambda: datasets.commit("x", frame(part, ROWS + next(number) * part)),
        {"writing all of it": whole},
        rounds=ROUNDS,
    )
    assert datasets.verify("x").rows == ROWS + next(number) * part
    assert seconds["mlopsfw"] < seconds["writing all of it"] / 4


@needs_peers
def test_appending_beside_dvc(benchmark, tmp_path):
    """DVC's process is counted, since it has no other door."""
    datasets = project(tmp_path / "ours").datasets
    datasets.commit("x", frame(ROWS), "replace")
    theirs = tmp_path / "dvc"
    theirs.mkdir()
    file = theirs / "x.parquet"
    frame(ROWS).write_parquet(file)

    def dvc(*words: str) -> None:
        run([PEERS, "-m", "dvc", *words], theirs)

    dvc("init", "--no-scm")
    dvc("add", "x.parquet")
    more = frame(max(ROWS // 100, 1), ROWS)
    dvc("unprotect", "x.parquet")
    pl.concat([pl.read_parquet(file), more]).write_parquet(file)
    peer = clocked(lambda: dvc("add", "x.parquet"))()
    benchmark.pedantic(datasets.commit, args=("x", more))
    assert pl.read_parquet(file).equals(datasets.scan("x").collect())
    mine = benchmark.stats.stats.min
    print(f"\n    1% more of {ROWS:,} rows: mlopsfw {mine:.3f} s, dvc add {peer:.3f} s: {peer / mine:.1f} x")


def test_the_digest_beside_hashing_the_bytes(benchmark):
    table = frame(ROWS).to_arrow()
    data = table["f0"].combine_chunks().buffers()[1]
    assert table_digest(table) == table_digest(table.to_batches(max_chunksize=999))
    times = table.nbytes // data.size  # about as many bytes
    bare = clocked(lambda: [hashlib.sha256(data) for _ in range(times)])
    seconds = measure(benchmark, lambda: table_digest(table), {"sha256 of as many bytes": bare})
    print(f"    content digest {table.nbytes / seconds['mlopsfw'] * 1e-9:.2f} GB/s")
