"""Handles of tables: nothing is read early, and batches depend on the rows, the seed and the epoch alone."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import resource
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlopsfw.data.tables import row_order
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.roles.training import TrainingData
from mlopsfw.pipeline.run.inputs import Inputs
from mlopsfw.testing.trainer import training_rows

ROWS = 700
SHARDS = [1, 2, 3, 7]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Let a small table have many blocks and windows."""
    monkeypatch.setattr(row_order, "BLOCK", 32)


@pytest.fixture
def frame():
    return training_rows(ROWS).with_columns(
        id=pl.int_range(pl.len()), kind=pl.col("color").cast(pl.Categorical), empty=pl.lit(None, pl.Float64)
    )


@pytest.fixture
def handle(frame):
    return TableHandle.of(frame)


def ids(batches):
    return [value for batch in batches for value in batch.column("id").to_pylist()]


def by_file(frame, tmp_path, kind):
    """Return the frame as a handle on files of `kind`, in other pieces each."""
    if kind == "arrow":
        frame.write_ipc(tmp_path / "rows.arrow", compression="zstd", record_batch_size=50)
        lazy = pl.scan_ipc(tmp_path / "rows.arrow")
    else:
        frame[:301].write_parquet(tmp_path / "a.parquet", row_group_size=70)
        frame[301:].write_parquet(tmp_path / "b.parquet", row_group_size=64)
        lazy = pl.scan_parquet([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    return TableHandle(lazy, frame.height, "")


@pytest.mark.parametrize("seed", [None, 0, -5, 1 << 70])
@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_batches_are_the_same_in_memory_and_from_files_of_any_layout(frame, handle, tmp_path, kind, seed):
    wanted = list(handle.batches(size=60, seed=seed, epoch=2))
    found = list(by_file(frame, tmp_path, kind).batches(size=60, seed=seed, epoch=2))
    assert [pl.from_arrow(batch).equals(pl.from_arrow(other)) for batch, other in zip(found, wanted, strict=True)] == [
        True
    ] * 12


def test_every_batch_has_the_schema_of_the_handle_and_its_size(handle):
    batches = list(handle.batches(size=300, seed=1))
    assert [batch.num_rows for batch in batches] == [300, 300, 100]
    assert all(batch.schema == handle.schema for batch in batches)
    assert handle.table().schema == handle.schema


@pytest.mark.parametrize("size", [1, 31, 32, 33, ROWS, 10 * ROWS])
def test_without_a_seed_rows_keep_the_order_of_the_table(handle, size):
    assert ids(handle.batches(size=size)) == list(range(ROWS))


def test_an_epoch_has_every_row_once_in_an_order_that_seed_and_epoch_decide(handle):
    orders = [ids(handle.batches(seed=seed, epoch=epoch)) for seed, epoch in itertools.product((1, 2), (0, 1))]
    assert all(sorted(order) == list(range(ROWS)) for order in orders)
    assert len(set(map(tuple, orders))) == 4
    assert orders[0] == ids(handle.batches(seed=1, epoch=0))


def test_the_order_is_the_one_of_all_earlier_versions(handle):
    first = itertools.islice(handle.batches(size=6, seed=3, epoch=4, shard=(1, 2)), 1)
    assert ids(first) == [331, 159, 566, 342, 572, 329]


def test_a_shard_that_fits_into_a_window_is_shuffled_evenly(monkeypatch):
    monkeypatch.setattr(row_order, "BLOCK", 1 << 16)
    handle = TableHandle.of(pl.DataFrame({"id": range(1000)}))
    places = np.array([np.argsort(ids(handle.batches(seed=seed))) for seed in range(300)])
    assert np.abs(places.mean(axis=0) - 499.5).max() < 5 * 288.7 / np.sqrt(300)


@pytest.mark.parametrize("seed", [None, 9])
@pytest.mark.parametrize("of", SHARDS)
def test_shards_are_disjoint_and_of_equal_size(handle, of, seed):
    shards = [ids(handle.batches(size=10, seed=seed, epoch=1, shard=(rank, of))) for rank in range(of)]
    assert {len(shard) for shard in shards} == {ROWS // of}
    together = [row for shard in shards for row in shard]
    assert len(set(together)) == len(together) == ROWS - ROWS % of


def test_no_row_is_left_out_in_every_epoch(handle):
    read = [set(ids(handle.batches(seed=2, epoch=epoch, shard=(0, 3)))) for epoch in range(40)]
    assert set().union(*read) == set(range(ROWS))


def test_more_shards_than_rows_are_empty():
    assert list(TableHandle.of(pl.DataFrame({"a": [1, 2]})).batches(shard=(0, 3))) == []
    assert list(TableHandle.of(pl.DataFrame({"a": [1]}).clear()).batches(seed=1)) == []


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("size", [7, 64, 200])
@pytest.mark.parametrize("shard", [(0, 1), (1, 3)])
def test_a_resumed_epoch_has_the_batches_that_were_left(handle, size, seed, shard):
    whole = list(handle.batches(size=size, seed=seed, shard=shard))
    for start in range(len(whole) + 2):
        rest = list(handle.batches(size=size, seed=seed, shard=shard, start=start))
        assert len(rest) == max(len(whole) - start, 0)
        assert all(batch.equals(other) for batch, other in zip(rest, whole[start:], strict=True))


class Counting:
    """A lazy frame that notes which slices are read of which columns."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame, self.read, self.columns = frame.lazy(), [], []

    def select(self, columns):
        self.columns.append(list(columns))
        self.frame = self.frame.select(columns)
        return self

    def slice(self, start, length):
        self.read.append((start, length))
        return self.frame.slice(start, length)

    def collect_schema(self):
        return self.frame.collect_schema()


def test_a_resumed_epoch_reads_no_rows_of_windows_that_are_over(frame):
    counting = Counting(frame)
    handle = TableHandle(counting, ROWS, "")
    next(handle.batches(columns=["id"], size=128, seed=4, start=4))
    assert 0 < sum(length for _, length in counting.read) <= 2 * 128


def test_a_shard_reads_its_own_blocks_and_the_columns_that_are_asked_for(frame):
    counting = Counting(frame)
    batches = list(TableHandle(counting, ROWS, "").batches(columns=["id", "flag"], seed=4, shard=(1, 2)))
    assert sum(length for _, length in counting.read) == ROWS // 2
    assert counting.columns == [["id", "flag"]]
    assert batches[0].schema.names == ["id", "flag"]


@pytest.mark.parametrize("ask", ["table", "batches"])
def test_a_column_that_there_is_not_is_refused_with_the_nearest_name(handle, ask):
    with pytest.raises(DataError, match="flagg") as caught:
        getattr(handle, ask)(columns=["flagg"])
    assert "flag" in caught.value.hint
    with pytest.raises(UsageError, match="no column"):
        getattr(handle, ask)(columns=[])


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"epoch": -1}, {"start": -1}, {"shard": (2, 2)}, {"shard": (-1, 2)}, {"shard": (0, 0)}]
)
def test_numbers_out_of_range_are_refused_before_anything_is_read(handle, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        handle.batches(**wrong)


@pytest.mark.parametrize("kind", ["table", "part", "dataset", "csv", "ndjson", "parquet"])
def test_a_value_and_a_version_come_as_a_handle_with_rows_and_digest(project, tmp_path, frame, kind):
    plain = frame.select("id", "number", "color")
    if kind in ("table", "part"):
        artifact = project.values.store(plain)
    else:
        if kind != "dataset":
            getattr(plain, f"write_{kind}")(tmp_path / f"rows.{kind}")
            project.datasets.reference("d", str(tmp_path / f"rows.{kind}"))
        else:
            project.datasets.commit("d", plain)
        artifact = Inputs(project.components).resolve("data:/d@1")
    if kind == "part":
        artifact = artifact.__class__(kind="table", digest="f" * 64, blob=artifact.blob, rows=(100, 350))
        plain = plain[100:350]
    handle = project.values.load(artifact, TrainingData, folder=tmp_path)
    assert (handle.rows, handle.digest) == (plain.height, artifact.digest)
    assert handle.lazy().collect().equals(plain)
    assert pl.from_arrow(handle.table(["id"])).equals(plain.select("id"))
    found = pl.concat(pl.from_arrow(batch) for batch in handle.batches(seed=1, size=50))
    assert found.sort("id").equals(plain)
    assert bool(list(tmp_path.rglob("rows.arrow"))) == (kind in ("csv", "ndjson"))


def test_a_python_step_can_ask_for_a_handle(bench):
    code = """
from __future__ import annotations
from typing import TYPE_CHECKING
import polars as pl
if TYPE_CHECKING:
    from mlopsfw.roles import TrainingData
def rows(): return pl.DataFrame({"a": [1, 2, 3]})
def use(rows: TrainingData): return [rows.rows, type(rows).__name__]
"""
    bench.write(
        '[steps.rows]\npython = "work:rows"\n[steps.use]\npython = "work:use"\ninputs = {rows = "rows"}\n', work=code
    )
    assert bench.value(bench.run(), "use") == [3, "TableHandle"]


def read_shard(handle: TableHandle, rank: int, file: Path) -> None:
    """Write the rows of a shard, as a process of a distributed trainer reads them."""
    file.write_text(json.dumps(ids(handle.batches(columns=["id"], seed=1, shard=(rank, 2)))))


@pytest.mark.slow
def test_processes_of_a_trainer_read_a_shard_each(frame, tmp_path):
    handle = by_file(frame, tmp_path, "arrow")
    spawn = multiprocessing.get_context("spawn")
    files = [tmp_path / f"{rank}.json" for rank in range(2)]
    children = [spawn.Process(target=read_shard, args=(handle, rank, files[rank])) for rank in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    shards = [json.loads(file.read_text()) for file in files]
    assert sorted(shards[0] + shards[1]) == list(range(ROWS))


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("kind", ["table", "dataset"])
def test_a_handle_takes_no_memory_before_rows_are_asked_for(project, kind):
    rows = pl.DataFrame({f"x{number}": np.random.default_rng(number).random(300_000) for number in range(20)})  # 46 MiB
    if kind == "table":
        artifact = project.values.store(rows)
    else:
        project.datasets.commit("d", rows)
        artifact = Inputs(project.components).resolve("data:/d@1")
    project.values.load(artifact, TrainingData).schema  # noqa: B018 - whatever is imported only once
    before = resident()
    handles = [project.values.load(artifact, TrainingData) for _ in range(5)]
    assert [(handle.rows, len(handle.schema)) for handle in handles] == [(300_000, 20)] * 5
    assert resident() - before < 10
