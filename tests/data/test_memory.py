"""What reads or writes rows does so in less memory than the rows take: each verb in a process that may not have it.

The limit is one of addresses, of which a process has more than it uses. So that it says something of memory, threads are few (each has a stack
and a heap of its own), Arrow takes its memory from malloc, Polars' allocator gives back what it does not need, and the limit counts from where the
process stands once everything is imported. Steps run in processes of their own, under the same limit.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.project.facade import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROWS, NUMBERS = 5_000_000, 20
MORE = 860  # MiB of addresses beyond those of the libraries
HELD = ROWS * (NUMBERS + 3) * 8 >> 20  # MiB that the rows take at the least

TOML = """
[project]
name = "large"

[data.personal]
pii = { name = "hash", key = "mask" }
contract = "contract.toml"

[privacy]
key = "env:PRIVACY_KEY"

[steps.known]
use = "join"
inputs = { rows = "data:/big@1", other = "data:/weather" }
at = "at"
by = ["key"]

[steps.leaks]
use = "leakage"
inputs = { rows = "data:/big@1" }
target = "n1"
features = ["n2", "n3"]
at = "at"

[steps.cut]
use = "split"
inputs = { rows = "data:/big@1" }
by = "fraction"
shuffle_time = true
test = 0.2
key = ["id"]

[steps.asked]
use = "sql"
inputs = { big = "data:/big@1" }
query = "SELECT *, n0 + n1 AS both FROM big WHERE n2 > 10"
"""

CONTRACT = """
[columns.id]
type = "integer"
nulls = 0
order = "strictly increasing"

[columns.name]
values = ["name 0", "name 1", "name 2"]
pattern = "name [0-9]"
""" + "".join(f"[columns.n{n}]\nrange = [0, 96]\nnulls = 0\n" for n in range(NUMBERS))

LIMITED = """
import os, resource, sys
from pathlib import Path
import deltalake, msgspec, numpy, polars as pl, pyarrow.csv, pyarrow.parquet
import mlopsfw_core
from mlopsfw.cli import run

def held(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(what))

pl.LazyFrame({"x": [1]}).select(pl.col("x").sum()).collect(engine="streaming")
limit = held("VmSize") + int(sys.argv[1])
if os.environ.get("LIMITED", "yes") == "yes":
    resource.setrlimit(resource.RLIMIT_AS, (limit << 20, limit << 20))
before, size = held("VmRSS"), held("VmSize")
code = run(sys.argv[2:]) if sys.argv[2] != "collect" else print(pl.scan_parquet(sys.argv[3]).collect().height) or 0
print(f"peak {held('VmHWM') - before} MiB of memory, {held('VmPeak') - size} of addresses", file=sys.stderr)
sys.exit(code)
"""
QUIET = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "POLARS_MAX_THREADS": "1",
    "PRIVACY_KEY": "7" * 64,
    "_RJEM_MALLOC_CONF": "retain:false",
}


def batches(start=0, stop=ROWS):
    """The rows: numbers of few values, so that they are quick to write and large once read."""
    size = 100_000
    names = pa.array([f"name {n % 3}" for n in range(size)])
    for first in range(start, stop, size):
        at = np.arange(first, first + size)
        yield pa.RecordBatch.from_pydict(
            {"id": at, "key": at % 1000, "at": (at * 1000).astype("datetime64[ms]"), "name": names}
            | {f"n{n}": (at * (n + 3) % 97).astype(float) for n in range(NUMBERS)}
        )


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A project whose dataset `big` has two versions, and its rows as a file."""
    root = tmp_path_factory.mktemp("large") / "project"
    root.mkdir()
    (root / "mlopsfw.toml").write_text(TOML)
    (root / "contract.toml").write_text(CONTRACT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIVACY_KEY", QUIET["PRIVACY_KEY"])
        with Project.open(root) as project:
            project.datasets.commit("big", batches(), "replace")
            rows = project.datasets.scan("big")
            newer = rows.filter(pl.col("id") % 1000 == 1).with_columns(n0=pl.col("n0") + 1)
            project.datasets.commit("big", newer, Change(mode="upsert", key=("id",)))
            project.datasets.commit("weather", rows.filter(pl.col("id") % 500 == 0).select("key", "at", w="n5"))
            project.datasets.scan("big", 1).sink_parquet(root / "rows.parquet", row_group_size=100_000)
    return root


def limited(root, *command, **environment):
    whole = [sys.executable, "-c", LIMITED, str(MORE), *command]
    return subprocess.run(
        whole, cwd=root, capture_output=True, text=True, check=False, env=os.environ | QUIET | environment
    )


@pytest.fixture
def copy(lake, tmp_path):
    """The project anew, its tables' files by another name for the same ones: nothing writes into those."""

    def link(old, new):
        return os.link(old, new) if old.endswith(".parquet") else shutil.copy2(old, new)

    return Path(shutil.copytree(lake, tmp_path / "project", copy_function=link))


def test_the_rows_cannot_be_held_under_this_limit(lake):
    assert HELD > MORE
    file = str(lake / "rows.parquet")
    assert limited(lake, "collect", file, LIMITED="no").stdout == f"{ROWS}\n"
    failed = limited(lake, "collect", file)
    assert failed.returncode != 0
    assert "memory" in failed.stderr


VERBS = {
    "check of a version": ("data", "check", "big", "--contract", "contract.toml"),
    "check of a file": ("data", "check", "rows.parquet", "--contract", "contract.toml"),
    "inference": ("data", "check", "big@1", "--infer", "-o", "new.toml"),
    "diff by key, with drift": ("data", "diff", "big", "1", "2", "--key", "id"),
    "diff of whole rows": ("data", "diff", "big", "1", "2", "--no-drift"),
    "drift of files": ("drift", "rows.parquet", "rows.parquet", "--stream"),
    "verify": ("data", "verify", "big"),
    "restore": ("data", "restore", "big", "1"),
    "show": ("data", "show", "big"),
    "log": ("data", "log", "big"),
    "lineage": ("lineage", "data:/big"),
    "vacuum": ("data", "vacuum", "big", "--keep", "1", "--force"),
    "forget": ("data", "forget", "big", "--key", "id=3000001", "--yes"),
    "ingest, masked and sifted": ("data", "add", "personal", "rows.parquet", "--max-bad", "0.5", "--quiet"),
    "upsert": ("data", "add", "big", "rows.parquet", "--upsert", "--key", "id", "--quiet"),
    "export": ("export", "elsewhere"),
    "join": ("run", "--step", "known"),
    "leakage": ("run", "--step", "leaks"),
    "split": ("run", "--step", "cut"),
    "sql": ("run", "--step", "asked"),
}
EXITS = {"check of a version": 4}  # its rows stand in another order than the first version's


NIGHTLY = {"inference", "diff of whole rows", "forget", "leakage", "split", "sql"}
"""Verbs that read and write as another one does that every push tries: check, diff by key, upsert and join."""


def by_tier(names, nightly):
    """Mark the names that the night alone tries."""
    return [pytest.param(name, marks=pytest.mark.nightly) if name in nightly else name for name in names]


@pytest.mark.parametrize("verb", by_tier(VERBS, NIGHTLY))
def test_a_verb_streams(copy, verb):
    done = limited(copy, *VERBS[verb])
    assert done.returncode == EXITS.get(verb, 0), done.stdout + done.stderr
    assert "WorkerLost" not in done.stdout + done.stderr  # which is tried again
    print(verb, done.stderr.splitlines()[-1])  # noqa: T201 - pytest shows it with -rA


TEXT = "x" * 8_000
TEXTS = (MORE + 60 << 20) // len(TEXT)  # rows whose texts alone take more than the limit
SERIES = f"""WITH RECURSIVE rows(id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM rows WHERE id < {TEXTS - 1})
             SELECT id, replace(hex(zeroblob({len(TEXT) // 2})), '0', 'x') || id AS text FROM rows"""


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Files of large rows, small where they lie."""
    folder = tmp_path_factory.mktemp("texts")
    csv, json = folder / "texts.csv.gz", folder / "texts.jsonl.gz"
    with gzip.open(csv, "wt", compresslevel=1) as rows, gzip.open(json, "wt", compresslevel=1) as objects:
        rows.write("id,text\n")
        for n in range(TEXTS):
            rows.write(f"{n},{TEXT}{n}\n")
            objects.write(f'{{"id": {n}, "text": "{TEXT}{n}"}}\n')
    sqlite3.connect(folder / "empty.db").execute("CREATE TABLE t (x)").connection.close()
    return {
        "CSV": (str(csv), "--max-ratio", "100000"),
        "JSON lines": (str(json), "--max-ratio", "100000"),
        "SQLite": ("--sql", f"sqlite:///{folder}/empty.db", "--query", SERIES),
    }


@pytest.mark.parametrize(
    "aside",
    [
        pytest.param((), id="plain", marks=pytest.mark.nightly),  # a part of what comes with a quarantine
        pytest.param(("--max-bad", "0.01"), id="with a quarantine"),
    ],
)
@pytest.mark.parametrize("source", by_tier(["CSV", "JSON lines", "SQLite"], {"JSON lines"}))
def test_a_source_streams(copy, texts, source, aside):
    done = limited(copy, "data", "add", "texts", *texts[source], *aside, "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    print(source, done.stderr.splitlines()[-1])  # noqa: T201 - pytest shows it with -rA
    with Project.open(copy) as project:
        assert project.datasets.resolve("texts").rows == TEXTS


def test_a_file_larger_than_memory_is_kept_and_given_back(copy):
    (copy / "files").mkdir()
    with (copy / "files" / "large").open("wb") as file:
        file.truncate(MORE + 60 << 20)
    for command in (("data", "add", "sounds", "files", "--files", "--quiet"), ("data", "get", "sounds", "back")):
        done = limited(copy, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (copy / "back" / "large").stat().st_size == MORE + 60 << 20
