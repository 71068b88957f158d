"""CSV fulfils the contract of formats; a company's own separator and header are read."""

from __future__ import annotations

import pyarrow.csv as pc
import pytest

from mlopsfw.errors import DataError
from mlopsfw.roles import ReadOptions, ReadRequest
from mlopsfw.testing.format import FormatConformance, Rejects
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


@pytest.mark.parametrize("sink", [None, Rejects()], ids=["strict", "tolerant"])
@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("x.csv", "a;b\n1;2\n", "its name contains ';'"),
        ("x.csv", "a\tb\n1\t2\n", r"its name contains '\t'"),
        ("x.csv", "a|b\n1|2\n", "its name contains '|'"),
        ("x.tsv", "a,b\n1,2\n", "its name contains ','"),
        ("x.tsv", "a;b\n1;2\n", "its name contains ';'"),
        ("x.csv", "sep=;\n1;2\n", "'sep=;' names the separator for Excel"),
        ("x.csv", "sep=,\na,b\n1,2\n", "'sep=,' names the separator for Excel"),
    ],
)
def test_a_file_of_another_separator_is_an_error_that_names_it(tmp_path, name, text, complaint, sink):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        list(Csv().read(ReadRequest(path=tmp_path / name, rejects=sink)))
    assert complaint in caught.value.message
    assert "--separator" in caught.value.hint
