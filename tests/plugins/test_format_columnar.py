"""Parquet and Arrow IPC fulfil the contract of formats."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlopsfw.testing.format import FormatConformance
from mlopsfw_format_columnar.reading import Columnar


class TestParquet(FormatConformance):
    @pytest.fixture
    def reader(self):
        return Columnar("parquet")

    @pytest.fixture
    def write(self):
        return lambda table, path: pq.write_table(table, path, row_group_size=1_000)


class TestIpcFile(FormatConformance):
    @pytest.fixture
    def reader(self):
        return Columnar("ipc")

    @pytest.fixture
    def write(self):
        def written(table, path):
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table, max_chunksize=1_000)

        return written


class TestIpcStream(TestIpcFile):
    @pytest.fixture
    def write(self):
        def written(table, path):
            with pa.ipc.new_stream(path, table.schema) as writer:
                writer.write_table(table, max_chunksize=1_000)

        return written
