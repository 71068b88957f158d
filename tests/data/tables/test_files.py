"""The files at a table's location: the same for a folder and for an object store."""

from __future__ import annotations

import os

import pytest

from mlopsfw.data.tables.files import TableFiles
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import NotFound, StorageError
from mlopsfw.kernel.roles.storage import TableLocation


@pytest.fixture(params=["folder", "file URL", "object store"])
def files(request, tmp_path):
    places = {
        "folder": str(tmp_path / "a table"),
        "file URL": (tmp_path / "a table").as_uri(),
        "object store": "memory:///t",
    }
    return TableFiles(TableLocation(places[request.param]), SystemClock())


def test_what_is_put_is_listed_read_and_deleted(files, tmp_path):
    (tmp_path / "source").write_bytes(b"0123456789")
    assert list(files.entries()) == []
    files.put("part-0.parquet", tmp_path / "source")
    files.put("_delta_log/0.json", b"longer than the next")
    files.put("_delta_log/0.json", b"{}")
    assert sorted(files.entries()) == [("_delta_log/0.json", 2), ("part-0.parquet", 10)]
    assert files.log() == ["_delta_log/0.json"]
    assert (files.read("part-0.parquet"), files.read("part-0.parquet", 3, 4)) == (b"0123456789", b"3456")
    files.put("part-1.parquet", b"0123456789" * 300_000)
    assert files.read("part-1.parquet", 2_999_998) == b"89"
    files.delete(["part-1.parquet"])
    for _ in range(2):
        files.delete(files.log())
        files.delete(["_delta_log/0.json"])
    assert sorted(files.entries()) == [("part-0.parquet", 10)]
    with pytest.raises(NotFound):
        files.read("_delta_log/0.json")


def test_a_file_that_stays_is_an_error_and_no_erasure(tmp_path):
    (tmp_path / "t/part-0.parquet").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"part-0\.parquet cannot be deleted"):
        TableFiles(TableLocation(str(tmp_path / "t")), SystemClock()).delete(["part-0.parquet"])


@pytest.mark.parametrize("make", [os.symlink, lambda _, place: os.mkfifo(place)], ids=["link", "pipe"])
def test_a_table_with_a_link_or_a_pipe_is_refused(tmp_path, make):
    (tmp_path / "t").mkdir()
    make(str(tmp_path / "secret"), str(tmp_path / "t/part-0.parquet"))
    with pytest.raises(StorageError, match="a link"):
        list(TableFiles(TableLocation(str(tmp_path / "t")), SystemClock()).entries())
