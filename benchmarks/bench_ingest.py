"""Ingest: files into a dataset (digest, durable, versioned) beside Polars' `scan_*().sink_parquet()` of the same file; memory; wide files.

    python -m pytest benchmarks/bench_ingest.py --benchmark-only
    MLOPSFW_BENCH_ROWS=8000000 python -m pytest benchmarks/bench_ingest.py --benchmark-only -k csv     # 1 GB

`MLOPSFW_BENCH_ROWS` sets the size (default 1,000,000 rows, 130 MB of CSV). Both use as many threads as there are processors, both make
their file durable, and what comes out is asserted equal. Rounds alternate; medians are compared, and the ratio is Polars' time over ours.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlopsfw.data.datasets.loading.change import Change

sys.path.insert(0, str(Path(__file__).parent))
from data_rows import ROWS, frame, project
from process_peers import clocked, measure, run

PART = 1_000_000
ROUNDS = 5
SLOWEST = 1.5  # times Polars
WIDE = 100_000


WRITERS: dict[str, Any] = {
    "x.csv": lambda part, sink, first: part.write_csv(sink, include_header=first),
    "quoted.csv": lambda part, sink, first: part.write_csv(sink, include_header=first, quote_style="non_numeric"),
    "x.jsonl": lambda part, sink, _: part.write_ndjson(sink),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Callable[[str], Path]:
    """Write the rows, the same ones in every format, when they are asked for."""
    folder = tmp_path_factory.mktemp("in")

    def written(name: str) -> Path:
        path = folder / name
        if not path.exists() and name == "x.parquet":
            pl.scan_csv(written("x.csv")).sink_parquet(path)
        elif not path.exists():
            with path.open("wb") as sink:
                for start in range(0, ROWS, PART):
                    WRITERS[name](frame(min(PART, ROWS - start), start), sink, start == 0)
        return path

    return written


SCANS = {".csv": pl.scan_csv, ".jsonl": pl.scan_ndjson, ".parquet": pl.scan_parquet}


@pytest.mark.parametrize("share", [0.0, 0.01], ids=["strict", "quarantine"])
@pytest.mark.parametrize("name", ["x.csv", "quoted.csv", "x.jsonl", "x.parquet"])
def test_ingest_beside_polars(benchmark, file, tmp_path, name, share):
    path, number = file(name), itertools.count()
    scan = SCANS[path.suffix]
    change = Change(mode="replace", max_bad=share)
    datasets = project(tmp_path / "ours").datasets
    first = datasets.scan(datasets.add("first", [path], change))
    assert first.collect_schema() == scan(path).collect_schema()
    assert (
        first.select(pl.struct(pl.all()).hash().sum())
        .collect()
        .equals(scan(path).select(pl.struct(pl.all()).hash().sum()).collect(engine="streaming"))
    )

    def ours() -> None:
        datasets.add(f"d{next(number)}", [path], change)

    def clear() -> None:  # so that disks need not hold every round
        shutil.rmtree(datasets.files("d").folder.parent)

    theirs = clocked(lambda: scan(path).sink_parquet(tmp_path / "o.parquet", sync_on_close="all"))
    seconds = measure(benchmark, ours, {"sink_parquet()": theirs}, rounds=ROUNDS, prepare=clear)
    stored = sum(part.size for part in datasets.manifest(datasets.resolve(f"d{next(number) - 1}")).files)
    peers = (tmp_path / "o.parquet").stat().st_size
    print(f"    of {path.stat().st_size:,} bytes ours keeps {stored:,}, Polars {peers:,}: {stored / peers:.2f} x")
    if path.suffix == ".csv":
        assert seconds["mlopsfw"] < seconds["sink_parquet()"] * SLOWEST


PEAK = """
import re, sys
from pathlib import Path
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.project.facade import Project
datasets = Project.open(Path(sys.argv[1])).datasets
datasets.add("x", [Path(path) for path in sys.argv[3:]], Change(mode="replace", max_bad=float(sys.argv[2])))
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.parametrize("share", ["0", "0.01"], ids=["strict", "quarantine"])
def test_ingest_of_csv_takes_constant_memory(benchmark, file, tmp_path, share):
    def peak(copies: int) -> int:
        folder = project(tmp_path / f"p{copies}").root
        return int(run([sys.executable, "-c", PEAK, str(folder), share, *[str(file("x.csv"))] * copies], tmp_path))

    one, four = benchmark.pedantic(peak, args=(1,)), peak(4)
    size = file("x.csv").stat().st_size
    print(f"\n    peak memory of ingest: {one} MiB for {size >> 20} MiB of CSV, {four} MiB for four times as much")
    assert four < one * 1.5


@pytest.mark.parametrize("kind", ["numbers", "texts"])
@pytest.mark.parametrize("share", [0.0, 0.5], ids=["strict", "quarantine"])
def test_a_wide_csv_costs_by_its_columns(benchmark, tmp_path, kind, share):
    datasets, number = project(tmp_path / "ours").datasets, itertools.count()
    change, value = Change(mode="replace", max_bad=share), "1" if kind == "numbers" else "a"
    seconds = {}
    for width in (WIDE // 10, WIDE):
        path = tmp_path / f"{width}.csv"
        path.write_text("\n".join([",".join(f"c{i}" for i in range(width)), *[",".join([value] * width)] * 10]) + "\n")
        add = lambda path=path: datasets.add(f"d{next(number)}", [path], change)  # noqa: E731 - bound to this path
        seconds[width] = benchmark.pedantic(clocked(add), rounds=1) if width == WIDE else clocked(add)()
    tenth, whole = seconds.values()
    print(f"\n    10 rows of {WIDE:,} {kind}: {whole:.1f} s; of a tenth of the columns {tenth:.2f} s")
    assert whole < tenth * 20
