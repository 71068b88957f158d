"""Tables on a storage that has no place for them: their files are objects, and `put_if_absent` decides each commit."""

from __future__ import annotations

import os
import threading

import polars as pl
import pytest
from deltalake import write_deltalake
from deltalake.exceptions import CommitFailedError

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.tables.erasure import TableErasure
from mlopsfw.data.tables.opening import open_files
from mlopsfw.data.tables.plain import PlainTables
from mlopsfw.kernel.base.errors import Corrupt, NotFound
from mlopsfw.kernel.roles import storage as storage_role
from mlopsfw.kernel.store.table_locations import TableLocations
from mlopsfw.operations.transfer import transfer
from mlopsfw.testing.memory import MemoryStorage
from mlopsfw_storage_object.local import LocalStorage

NAME = "captures/delay"


class Counting(MemoryStorage):
    """Notes each call in order."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def put(self, key, data):
        self.calls.append(("put", key))
        super().put(key, data)

    def put_if_absent(self, key, data):
        self.calls.append(("put_if_absent", key))
        return super().put_if_absent(key, data)

    def get(self, key, *, start=0, length=None):
        self.calls.append(("get", key))
        return super().get(key, start=start, length=length)


@pytest.fixture
def storage():
    return Counting()


@pytest.fixture
def machine(storage, tmp_path):
    """Return a maker of machines: each has the tables of one storage, and copies of its own."""
    return lambda name: PlainTables(TableLocations(storage, tmp_path / name))


def rows(*values):
    return pl.DataFrame({"a": values})


def values(tables, version=None):
    return sorted(tables.scan(NAME, version).collect()["a"])


def test_what_a_machine_appends_another_reads_at_every_version(machine):
    here, there = machine("here"), machine("there")
    assert not there.exists(NAME)
    with pytest.raises(NotFound, match="there is no table"):
        there.scan(NAME)
    assert [here.append(NAME, rows(1)), there.append(NAME, rows(2)), here.append(NAME, rows(3))] == [0, 1, 2]
    assert [values(there, version) for version in (0, 1, 2, None)] == [[1], [1, 2], [1, 2, 3], [1, 2, 3]]
    with pytest.raises(NotFound, match="has no version 7"):
        there.scan(NAME, 7)


def test_rows_from_before_a_column_have_nulls_in_it(machine):
    tables = machine("here")
    tables.append(NAME, rows(1))
    tables.append(NAME, pl.DataFrame({"a": [2], "b": ["x"]}))
    assert machine("there").scan(NAME).collect().sort("a").rows() == [(1, None), (2, "x")]


def test_of_racing_appends_each_lands_once(machine):
    machines = [machine(f"m{number}") for number in range(4)]
    made, failures = [], []

    def append(number):
        try:
            made.extend(machines[number].append(NAME, rows(number * 10 + each)) for each in range(4))
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(made) == list(range(16))
    assert values(machines[0]) == sorted(number * 10 + each for number in range(4) for each in range(4))


def test_a_commit_comes_after_its_files_by_put_if_absent_alone(storage, machine):
    machine("here").append(NAME, rows(1))
    (*files, commit) = [call for call in storage.calls if call[0] != "get"]
    assert commit == ("put_if_absent", f"tables/{NAME}/_delta_log/{0:020}.json")
    assert [verb for verb, _ in files] == ["put"]


def test_a_writer_that_dies_before_its_commit_leaves_nothing_to_see(storage, machine, monkeypatch):
    tables = machine("here")
    tables.append(NAME, rows(1))

    def dies(self, key, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Counting, "put_if_absent", dies)
        with pytest.raises(KeyboardInterrupt):
            tables.append(NAME, rows(2))
    assert values(machine("there")) == [1]
    assert tables.append(NAME, rows(3)) == 1
    assert values(machine("there")) == [1, 3]


def test_a_lost_answer_to_a_commit_is_no_second_append(storage, machine, monkeypatch):
    def answers_wrongly(self, key, data):
        super(Counting, self).put_if_absent(key, data)
        return False

    monkeypatch.setattr(Counting, "put_if_absent", answers_wrongly)
    assert [machine("here").append(NAME, rows(n)) for n in (1, 2)] == [0, 1]
    assert values(machine("there")) == [1, 2]


def test_a_loser_leaves_no_file(storage, machine):
    tables = machine("here")
    tables.append(NAME, rows(1))
    files = open_files(tables._locations, NAME)
    with files.delta() as place:
        write_deltalake(place.open(), rows(9).to_arrow(), mode="append")
        machine("there").append(NAME, rows(2))
        before = set(dict(files.entries()))
        with pytest.raises(CommitFailedError):
            place.publish(1)
    assert set(dict(files.entries())) == before
    assert values(machine("there")) == [1, 2]


def test_a_long_log_is_read_from_its_checkpoint_on(storage, machine):
    here, there = machine("here"), machine("there")
    for number in range(103):
        here.append(NAME, rows(number))
    storage.calls.clear()
    assert there.scan(NAME).select(pl.len()).collect().item() == 103
    log = [key for _, key in storage.calls if "_delta_log" in key]
    assert len(log) == 5  # the checkpoint, its commit and those after it
    assert values(there, 50) == list(range(51))


@pytest.mark.parametrize("seconds", [0, 3600])
def test_what_was_erased_leaves_this_machine_at_once_and_others_when_they_look_again(
    project, storage, seconds, tmp_path
):
    class Services:
        tables, clock = TableLocations(storage, tmp_path / "here"), project.clock

    here, there = PlainTables(Services.tables), PlainTables(TableLocations(storage, tmp_path / "there"))
    for tables, customer in ((here, "canary"), (there, "other")):
        tables.append(NAME, pl.DataFrame({"customer": [customer]}))
    assert [len(tables.scan(NAME).collect()) for tables in (here, there)] == [2, 2]
    assert TableErasure(Services).remove(NAME, lambda _: pl.col("customer") == "canary") == 1
    assert with_canary(tmp_path / "here") == []
    (kept,) = with_canary(tmp_path / "there")
    os.utime(kept, (kept.stat().st_mtime - seconds,) * 2)
    assert there.scan(NAME).collect()["customer"].to_list() == ["other"]
    assert with_canary(tmp_path / "there") == ([] if seconds else [kept])
    assert not any(b"canary" in storage.get(entry.key) for entry in storage.list())


def with_canary(folder):
    found = [file for file in folder.rglob("*.parquet") if "canary" in str(pl.read_parquet(file).to_dicts())]
    return found + [file for file in folder.rglob("*.json") if b"canary" in file.read_bytes()]


def test_a_copy_that_was_cut_short_is_fetched_again_and_a_file_of_another_size_is_corrupt(storage, machine):
    tables = machine("here")
    tables.append(NAME, rows(1))
    assert values(tables) == [1]
    (copy,) = tables._locations.copies.rglob("*.parquet")
    copy.write_bytes(b"PAR1")
    assert values(tables) == [1]
    (key,) = [entry.key for entry in storage.list() if entry.key.endswith(".parquet")]
    storage.put(key, b"PAR1")
    with pytest.raises(Corrupt, match=r"has 4 bytes instead of \d+"):
        machine("there").scan(NAME)


def test_a_large_file_is_copied_in_parts(storage, machine, monkeypatch):
    monkeypatch.setattr(storage_role, "PART", 100)
    machine("here").append(NAME, rows(*range(1000)))
    assert values(machine("there")) == list(range(1000))
    ranges = [key for verb, key in storage.calls if verb == "get" and key.endswith(".parquet")]
    assert len(ranges) > 2


def test_a_dataset_lives_its_whole_life_on_objects_and_its_delta_log_is_true(make_project, monkeypatch, tmp_path):
    monkeypatch.setattr(LocalStorage, "table_location", lambda self, name: None)
    project = make_project()
    first, second = pl.DataFrame({"id": [1, 2], "x": [1.0, 2.0]}), pl.DataFrame({"id": [2, 3], "x": [9.0, 3.0]})
    datasets = project.datasets
    datasets.commit("d", first)
    datasets.commit("d", second, Change(mode="upsert", key=("id",)))
    datasets.commit("d", first, "replace")
    datasets.restore("d", 2)
    for version in range(1, 5):
        datasets.verify(f"d@{version}")
    assert datasets.scan("d").sort("id").collect().rows() == [(1, 1.0), (2, 9.0), (3, 3.0)]
    monkeypatch.undo()
    copy = LocalStorage(tmp_path / "copy")
    transfer(project.storage, copy)
    uri = copy.table_location("datasets/d").uri
    for version in range(1, 5):
        theirs = pl.scan_delta(uri, version=version - 1).sort("id").collect().rows()
        assert theirs == datasets.scan(f"d@{version}").sort("id").collect().rows()
