"""Delta and Iceberg tables as sources: read at one version, with their deletes, and an error that says what is wrong."""

from __future__ import annotations

import shutil

import polars as pl
import pyarrow as pa
import pytest

from mlopsfw.kernel.base.errors import DataError, MissingExtra, UsageError
from mlopsfw.kernel.roles.source import SourceOptions, SourceRequest
from mlopsfw.testing.source import SourceConformance
from mlopsfw_source_lakehouse.delta import DeltaSource
from mlopsfw_source_lakehouse.iceberg import IcebergSource


@pytest.fixture
def delta(tmp_path):
    folder = tmp_path / "delta"
    for ids in ([1, 2], [3]):
        pl.DataFrame({"id": ids}).write_delta(str(folder), mode="append")
    return folder


@pytest.fixture
def iceberg(tmp_path):
    """The folder of a table of two snapshots, and their ids."""
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("c", uri=f"sqlite:///{tmp_path / 'catalog.db'}", warehouse=(tmp_path / "lake").as_uri())
    catalog.create_namespace("n")
    table = catalog.create_table("n.t", pl.DataFrame({"id": [1]}).to_arrow().schema)
    for ids in ([1, 2], [3]):
        table.append(pl.DataFrame({"id": ids}).to_arrow())
    catalog.close()
    return tmp_path / "lake" / "n" / "t", [str(snapshot.snapshot_id) for snapshot in table.snapshots()]


@pytest.fixture
def add(project):
    def add(path, at=""):
        version = project.datasets.add("d", [path], outside=SourceOptions(at=at), once=True)
        return version, sorted(project.datasets.scan("d").collect()["id"])

    return add


def test_a_delta_table_is_read_at_a_version_that_its_event_names(add, delta):
    version, ids = add(delta)
    assert ids == [1, 2, 3]
    assert version.origin["files"][str(delta)]["version"] == 1
    assert add(delta, "0")[1] == [1, 2]


def test_rows_that_were_deleted_from_a_delta_table_stay_out(add, delta):
    from deltalake import DeltaTable

    DeltaTable(delta).delete("id = 2")
    assert add(delta)[1] == [1, 3]


def test_a_new_version_of_a_delta_table_makes_one_here(add, delta):
    assert add(delta)[0].version == 1
    pl.DataFrame({"id": [4]}).write_delta(str(delta), mode="append")
    assert add(delta)[0].version == 2


def test_an_iceberg_table_is_read_at_a_snapshot_that_its_event_names(add, iceberg):
    folder, snapshots = iceberg
    version, ids = add(folder)
    assert ids == [1, 2, 3]
    assert version.origin["files"][str(folder)]["snapshot"] == snapshots[1]
    assert add(folder, snapshots[0])[1] == [1, 2]


@pytest.mark.parametrize(("at", "error"), [("7", DataError), ("one", UsageError)])
def test_a_version_that_a_delta_table_has_not_is_named(add, delta, at, error):
    with pytest.raises(error, match=at):
        add(delta, at)


def test_a_snapshot_that_an_iceberg_table_has_not_is_named_with_those_it_has(add, iceberg):
    with pytest.raises(DataError, match="no snapshot '7'") as caught:
        add(iceberg[0], "7")
    assert iceberg[1][-1] in caught.value.hint


def test_a_folder_with_a_table_in_it_is_not_read_as_files_since_not_all_of_them_count(add, delta):
    with pytest.raises(DataError, match="contains a table of another system, delta,"):
        add(delta.parent)


def test_a_table_whose_rows_are_gone_is_an_error_and_commits_nothing(add, delta, iceberg, project):
    for file in delta.glob("*.parquet"):
        file.unlink()
    shutil.rmtree(iceberg[0] / "data")
    for table in (delta, iceberg[0]):
        with pytest.raises(DataError, match="cannot be read"):
            add(table)
    assert project.datasets.newest() == []


def test_a_table_that_unpacks_to_too_much_is_an_error(add, tmp_path, monkeypatch):
    monkeypatch.setattr("mlopsfw.data.intake.decompress._HARMLESS", 1 << 16)
    pl.DataFrame({"id": pl.repeat(1, 5_000_000, dtype=pl.Int64, eager=True)}).write_delta(str(tmp_path / "bomb"))
    with pytest.raises(DataError, match="over 200 times its size"):
        add(tmp_path / "bomb")


def test_without_the_reader_the_error_says_what_to_install(add, iceberg, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyiceberg.table", None)
    with pytest.raises(MissingExtra) as caught:
        add(iceberg[0])
    assert "mlopsfw[iceberg]" in caught.value.hint


class TestDelta(SourceConformance):
    @pytest.fixture
    def source(self):
        return DeltaSource()

    @pytest.fixture
    def place(self, delta):
        return SourceRequest(url=str(delta), named=str(delta))

    @pytest.fixture
    def content(self, delta):
        return pl.read_delta(str(delta)).to_arrow()

    @pytest.fixture
    def missing(self, tmp_path):
        return SourceRequest(url=str(tmp_path / "gone"), named="gone")

    @pytest.fixture
    def change(self, delta):
        return lambda: pl.DataFrame({"id": [4]}).write_delta(str(delta), mode="append")


class TestIceberg(SourceConformance):
    @pytest.fixture
    def source(self):
        return IcebergSource()

    @pytest.fixture
    def place(self, iceberg):
        folder, snapshots = iceberg
        return SourceRequest(url=str(folder), named=str(folder), options=SourceOptions(at=snapshots[0]))

    @pytest.fixture
    def content(self):
        return pa.table({"id": [1, 2]})

    @pytest.fixture
    def missing(self):
        return SourceRequest(url="s3://lake/t", named="s3://lake/t")
