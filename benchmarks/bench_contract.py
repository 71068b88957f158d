"""Contracts: 60 rules on 1,000,000 rows × 20 columns, beside pandera (Polars) and Great Expectations (pandas), the same faults found.

    MLOPSFW_PEERS_PYTHON=peers/bin/python python -m pytest benchmarks/bench_contract.py --benchmark-only     # README.md says what it holds

All have the table in memory; ours is timed from the Parquet file too, and that is what the target of one second is about. Rounds
alternate, and medians are compared. `MLOPSFW_BENCH_ROWS` sets the size.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlopsfw.data.contracts import read_contract
from mlopsfw.data.contracts.evaluation import judge
from mlopsfw.data.contracts.inference import infer

sys.path.insert(0, str(Path(__file__).parent))
from process_peers import PEERS, clocked, measure, run

ROWS = int(os.environ.get("MLOPSFW_BENCH_ROWS", "1000000"))
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
TOWNS = ["Bonn", "Kiel", "Köln", "Ulm"]
FAULTS = 7


def table(rows: int) -> pl.DataFrame:
    """Two keys, five columns of towns, five of codes, eight of numbers; a few faults in each third one."""
    rng = np.random.default_rng(0)
    columns: dict[str, pl.Series] = {"k0": pl.Series(range(rows)), "k1": pl.Series(rng.permutation(rows))}
    columns |= {f"s{i}": pl.Series(TOWNS).gather(rng.integers(0, len(TOWNS), rows)) for i in range(5)}
    columns |= {f"p{i}": "N" + pl.Series(rng.integers(10_000, 99_999, rows)).cast(pl.String) + "X" for i in range(5)}
    columns |= {f"f{i}": pl.Series(rng.random(rows)) for i in range(8)}
    frame = pl.DataFrame(columns)
    first = pl.int_range(pl.len()) < FAULTS
    return frame.with_columns(
        pl.when(first).then(pl.lit("Mainz")).otherwise("s0").alias("s0"),
        pl.when(first).then(pl.lit("n1")).otherwise("p0").alias("p0"),
        pl.when(first).then(2.0).otherwise("f0").alias("f0"),
        pl.when(first).then(None).otherwise("f1").alias("f1"),
    )


def rules(names: list[str]) -> list[tuple[str, str, object]]:
    """60 rules: types and nulls of all, and what each column's values must be."""
    kinds = {"k": "integer", "s": "string", "p": "string", "f": "number"}
    found: list[tuple[str, str, object]] = []
    for name in names:
        found += [("type", name, kinds[name[0]]), ("nulls", name, None)]
        found.append(
            {
                "k": ("unique", name, None),
                "s": ("values", name, TOWNS),
                "p": ("pattern", name, "N[0-9]{5}X"),
                "f": ("range", name, [0, 1]),
            }[name[0]]
        )
    return found


def contract(asked: list[tuple[str, str, object]]):
    columns: dict[str, dict] = {}
    for rule, name, argument in asked:
        columns.setdefault(name, {})[rule] = {"nulls": 0.0, "unique": True}.get(rule, argument)
    return read_contract({"columns": columns})


EXPECTED = {f"{rule}": FAULTS for rule in ("values s0", "pattern p0", "range f0", "nulls f1")}


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("contract") / "x.parquet"
    table(ROWS).write_parquet(path)
    return path


def peer(name: str, file: Path, asked: list) -> dict:
    """Run a peer once; what it found must be what there is."""
    script = str(Path(__file__).with_name("contract_peers.py"))
    said = json.loads(
        run([PEERS, "-W", "ignore", script, name, str(file), json.dumps(asked)], file.parent).splitlines()[-1]
    )
    assert said["found"] == EXPECTED, said
    return said


def installed(name: str) -> bool:
    return bool(PEERS) and not os.system(
        f"'{PEERS}' -c 'import importlib.metadata as m; m.version(\"{name}\")' 2>/dev/null"
    )


@pytest.mark.timeout(900)
def test_sixty_rules_on_a_million_rows(benchmark, file):
    asked = rules(table(1).columns)
    assert len(asked) == 60
    rows, kept = pl.scan_parquet(file), contract(asked)
    report = judge(rows, kept, now=NOW)
    assert {f"{each.rule} {each.subject}": each.failing for each in report.failed} == EXPECTED
    assert len(report.results) == 60
    memory = pl.read_parquet(file).lazy()
    beside = {"from the Parquet file": clocked(lambda: judge(rows, kept, now=NOW))}
    beside |= {
        name: lambda name=name: peer(name, file, asked)["seconds"]
        for name in ("pandera", "great_expectations")
        if installed(name)
    }
    seconds = measure(benchmark, lambda: judge(memory, kept, now=NOW), beside, rounds=3)
    assert seconds["from the Parquet file"] <= 1.0


def test_inferring_a_contract_takes_a_few_passes(benchmark, file):
    found = benchmark.pedantic(lambda: infer(pl.scan_parquet(file), now=NOW), rounds=1)
    print(f"\n    a contract inferred from {found.rows:,} x 20: {benchmark.stats.stats.median:.2f} s")
    assert judge(pl.scan_parquet(file), found.contract, now=NOW).passed


def test_memory_does_not_grow_with_the_rows(benchmark, tmp_path):
    """Rules other than `unique`, on a file and on one of four times as many rows, each in a process of its own."""
    code = (
        "import sys, re, json, datetime as dt, polars as pl; from pathlib import Path\n"
        "from mlopsfw.data.contracts import read_contract; from mlopsfw.data.contracts.evaluation import judge\n"
        "judge(pl.scan_parquet(sys.argv[1]), read_contract(json.loads(sys.argv[2])), now=dt.datetime.now(dt.UTC))\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) // 1024)"
    )
    asked = {"columns": {f"f{i}": {"nulls": 0.5, "range": [0, 1], "order": "increasing"} for i in range(8)}}

    def peak(copies: int) -> int:
        path = tmp_path / f"{copies}.parquet"
        pl.concat([table(ROWS // 4)] * copies).write_parquet(path, row_group_size=50_000)
        return int(run([sys.executable, "-c", code, str(path), json.dumps(asked)], tmp_path))

    one, four = benchmark.pedantic(peak, args=(2,), rounds=1), peak(8)
    print(f"\n    peak memory of a check: {one} MiB for a file, {four} MiB for four times as much")
    assert four < one * 1.5
