"""Plain tables: whatever a folder is called, its rows are read."""

from __future__ import annotations

import polars as pl
import pytest
from deltalake import write_deltalake

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.tables.plain import PlainTables
from mlopsfw.kernel.store.table_locations import TableLocations
from mlopsfw_storage_object.local import LocalStorage

NAMES = ["my project", "100% of ü", "plain"]


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_read_back_from_a_folder_of_any_name(tmp_path, name):
    tables = PlainTables(TableLocations(LocalStorage(tmp_path / name / "store"), tmp_path / "copies"))
    assert [tables.append("captures/delay", pl.DataFrame({"a": [n]})) for n in range(2)] == [0, 1]
    assert sorted(tables.scan("captures/delay").collect()["a"]) == [0, 1]
    assert tables.scan("captures/delay", 0).collect()["a"].to_list() == [0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reference", [False, True])
def test_a_delta_table_of_others_is_read_from_a_folder_of_any_name(project, name, reference):
    folder = project.root / name / "table"
    folder.parent.mkdir()
    rows = pl.DataFrame({"a": [1, 2], "part": ["x y", "z"]})
    write_deltalake(str(folder), rows.to_arrow(), partition_by=["part"])
    datasets = project.datasets
    version = datasets.reference("d", str(folder)) if reference else datasets.add("d", [folder], Change())
    assert sorted(project.datasets.scan(version).collect().rows()) == rows.rows()
