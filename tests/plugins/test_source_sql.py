"""A SQLite file fulfils the contract of sources; PostgreSQL does beside its server's tests."""

from __future__ import annotations

import sqlite3

import pyarrow as pa
import pytest

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
