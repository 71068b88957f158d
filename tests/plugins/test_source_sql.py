"""A SQLite file fulfils the contract of sources; PostgreSQL does beside its server's tests."""

from __future__ import annotations

import sqlite3

import pyarrow as pa
import pytest

from mlopsfw.data.intake.places import Query
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.roles import SourceRequest
from mlopsfw.testing.source import SourceConformance
from mlopsfw_source_sql.reading import SqlSource

URL = "sqlite:///x.db"


class TestSqlite(SourceConformance):
    @pytest.fixture
    def source(self, tmp_path):
        with sqlite3.connect(tmp_path / "x.db") as connection:
            connection.execute("CREATE TABLE t (n INTEGER, t TEXT)")
            connection.executemany("INSERT INTO t VALUES (?, ?)", [(number, f"t{number}") for number in range(40_000)])
            connection.execute("CREATE TABLE odd (n INTEGER)")
            connection.executemany("INSERT INTO odd VALUES (?)", [(1,), (2,), ("word",)])
        connection.close()
        return SqlSource(tmp_path)

    @pytest.fixture
    def place(self):
        return SourceRequest(url=URL, named=URL, table="t")

    @pytest.fixture
    def content(self):
        return pa.table({"n": range(40_000), "t": [f"t{number}" for number in range(40_000)]})

    @pytest.fixture
    def missing(self):
        return SourceRequest(url=URL, named=URL, table="nowhere")

    @pytest.fixture
    def spoiled(self):
        return SourceRequest(url=URL, named=URL, table="odd"), 3


class TestNoFile(TestSqlite):
    @pytest.fixture
    def missing(self):
        return SourceRequest(url="sqlite:///gone.db", named="env:DATABASE", table="t")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:S3CRET/PW@127.0.0.1:1/db",
        "postgresql://u:1/S3CRET@127.0.0.1:1/db",
        "postgresql://u:S3CRET#PW@127.0.0.1:1/db",
        "postgresql://u:1?S3CRET@127.0.0.1:1/db",
        "postgresql://[S3CRET/db",
        "postgresql://u:S3CRET\u2100@127.0.0.1:1/db",
    ],
)
def test_a_url_that_cannot_be_taken_apart_shows_nothing_of_itself(project, monkeypatch, url):
    monkeypatch.setenv("WH", url)
    with pytest.raises(DataError, match="URL") as caught:
        project.datasets.add("d", [Query("env:WH", table="x")])
    told = f"{caught.value}{caught.value.hint}{getattr(caught.value, '__notes__', '')}"
    assert "S3CRET" not in told
    assert "ercent-encode" in caught.value.hint
