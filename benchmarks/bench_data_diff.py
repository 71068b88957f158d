"""Two versions of a dataset compared by key, beside a join of both written by hand in Polars: seconds, and the peak memory of each alone.

    MLOPSFW_BENCH_ROWS=10000000 python -m pytest benchmarks/bench_data_diff.py --benchmark-only -s

`edited`: 1% of the rows have another value, a few went, a few came, the order stayed. `upserted`: 1% came by key. `shuffled`: as
`edited`, in another order. The counts of both are asserted equal.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import polars as pl
import pytest

from mlopsfw.data.datasets.loading.change import Change

sys.path.insert(0, str(Path(__file__).parent))
from data_rows import ROWS, frame, project
from process_peers import clocked, measure, run

ROUNDS = int(os.environ.get("MLOPSFW_BENCH_ROUNDS", "3"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diff")
    made = project(folder).datasets
    before = frame(ROWS)
    changed = pl.when(pl.col("id") % 100 == 0).then(0.5).otherwise("f0").alias("f0")
    edited = pl.concat([before.with_columns(changed).head(ROWS - 1000), frame(10, ROWS)])
    made.commit("edited", before)
    made.commit("edited", edited, "replace")
    made.commit("shuffled", before)
    made.commit("shuffled", edited.sample(fraction=1, shuffle=True, seed=1), "replace")
    made.commit("upserted", before)
    made.commit("upserted", frame(ROWS // 100, ROWS - ROWS // 200), Change(mode="upsert", key=("id",)))
    return folder


def by_hand(datasets, name):
    """Return added, removed and changed rows as one full join tells them."""
    old, new = datasets.scan(name, 1), datasets.scan(name, 2)
    values = [column for column in old.collect_schema() if column != "id"]
    joined = old.join(new, on="id", how="full", suffix="_new", coalesce=False)
    both = pl.col("id").is_not_null() & pl.col("id_new").is_not_null()
    differ = pl.any_horizontal(pl.col(column).ne_missing(pl.col(f"{column}_new")) for column in values)
    counts = joined.select(
        pl.col("id").is_null().sum(), pl.col("id_new").is_null().sum(), changed=(both & differ).sum()
    )
    return counts.collect(engine="streaming").row(0)


PEAK = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from bench_data_diff import by_hand
from mlopsfw.project.facade import Project
datasets, name = Project.open(Path(sys.argv[2])).datasets, sys.argv[3]
by_hand(datasets, name) if sys.argv[4] == "join" else datasets.diff(name, 1, 2, ["id"])
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.parametrize("name", ["edited", "upserted", "shuffled"])
def test_diff_by_key_beside_a_join(benchmark, root, name):
    datasets = project(root).datasets
    found = datasets.diff(name, 1, 2, ["id"])
    assert (found.added, found.removed, found.changed) == by_hand(datasets, name)
    measure(
        benchmark,
        lambda: datasets.diff(name, 1, 2, ["id"]),
        {"Polars join": clocked(lambda: by_hand(datasets, name))},
        rounds=ROUNDS,
    )
    told = [sys.executable, "-c", PEAK, str(Path(__file__).parent), str(root), name]
    ours, theirs = (int(run([*told, how], root)) for how in ("ours", "join"))
    print(f"    peak memory: mlopsfw {ours} MiB, Polars join {theirs} MiB")
