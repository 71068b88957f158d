"""CSV fulfils the contract of formats; a company's own separator and header are read."""

from __future__ import annotations

import pyarrow.csv as pc
import pytest

from mlopsfw.roles import ReadOptions, ReadRequest
from mlopsfw.testing.format import FormatConformance
from mlopsfw_format_csv.reading import Csv


class TestCsv(FormatConformance):
    @pytest.fixture
    def reader(self):
        return Csv()

    @pytest.fixture
    def suffix(self):
        return ".csv"

    @pytest.fixture
    def write(self):
        return lambda table, path: pc.write_csv(table, path, pc.WriteOptions(quoting_style="none"))

    @pytest.fixture
    def spoil(self):
        def spoiled(path):
            data = path.read_bytes()
            path.write_bytes(data + b"1,two,three\n")
            return data.count(b"\n") + 1

        return spoiled


def test_the_header_is_read_by_itself(tmp_path):
    (tmp_path / "x.csv").write_text('a;"b\nc"\n1;2\n')
    assert list(Csv().header(tmp_path / "x.csv", ReadOptions(separator=";"))) == ["a", "b\nc"]
    (tmp_path / "empty.csv").touch()
    assert list(Csv().header(tmp_path / "empty.csv", ReadOptions())) == []


def test_a_tab_separates_where_the_suffix_says_so(tmp_path):
    (tmp_path / "x.tsv").write_text("a\tb\n1\tx,y\n")
    *_, batch = Csv().read(ReadRequest(path=tmp_path / "x.tsv"))
    assert batch.to_pylist() == [{"a": 1, "b": "x,y"}]
