"""Files that people have: what they are read as, and what each broken one gets, with the line, and nothing half-committed."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import random
import zipfile

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlopsfw.kernel.base.errors import DataError, UnknownName, UsageError
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw_format_csv import strict as csvsource


def invalid_text() -> bytes:
    """A Parquet file whose text is not UTF-8."""
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": bad}), sink, write_statistics=False)
    return sink.getvalue()


@pytest.fixture
def add(project, tmp_path):
    """Write a file, add it to the dataset `d`, return the rows."""

    def adding(content: str | bytes, name: str = "x.csv", mode: str = "replace", **options) -> pl.DataFrame:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        version = project.datasets.add("d", [path], mode, csv=ReadOptions(**options))
        return project.datasets.scan(version).collect()

    return adding


def test_csv_is_read_with_types_guessed_and_empty_fields_null(add):
    text = "n,x,day,at,flag,word\n1,1.5,2013-01-01,2013-01-01T05:00:00Z,true,a\n,,,,,\n"
    assert add(text).rows() == [
        (1, 1.5, dt.date(2013, 1, 1), dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC), True, "a"),
        (None,) * 6,
    ]


@pytest.mark.parametrize(
    ("content", "rows", "options"),
    [
        ("\ufeffa,b\n1,2\n", [(1, 2)], {}),
        ('a,b\n1,"x\ny, ""z"""\n', [(1, 'x\ny, "z"')], {}),
        ("a,b\r\n1,x\r\n", [(1, "x")], {}),
        ("a,b\n1,x", [(1, "x")], {}),
        ("a,b\n\n1,x\n\n", [(1, "x")], {}),
        ("a;b\n1;x\n", [(1, "x")], {"separator": ";"}),
        ("a,b\nNA,-\n1,x\n", [(None, None), (1, "x")], {"null": ("-",)}),
        ("a,b\nnull,NA\nNaN,\n1,x\n", [(None, "NA"), (None, None), (1, "x")], {}),
        ("a,b\nx,NA\n,NA\n-,y\n", [("x", None), (None, None), (None, "y")], {"null": ("NA", "-")}),
        ("zip,b\n007,x\n", [("007", "x")], {"types": {"zip": "string"}}),
        ("a,t\n1,05:30:00\n", [(1, "05:30:00")], {}),
        ("a,b\n", [], {}),
        ("caf\xe9\n1\n".encode("latin-1"), [(1,)], {"encoding": "latin-1"}),
        ("a,b\n1,\xe9\n".encode("utf-16"), [(1, "\xe9")], {"encoding": "utf-16"}),
    ],
)
def test_csv_as_it_comes(add, content, rows, options):
    assert add(content, **options).rows() == rows


@pytest.mark.parametrize(("late", "value"), [("1.5", 1.5), ("1e22", 1e22), ("", None)])
def test_a_column_that_turns_out_otherwise_far_down_is_read_anew(add, monkeypatch, late, value):
    monkeypatch.setattr(csvsource, "_BLOCK", 64)
    found = add("a,b\n" + "1,x\n" * 100 + f"{late},y\n")
    assert found.height == 101
    assert found["a"][-1] == (pytest.approx(value) if value else None)


@pytest.mark.parametrize("late", ["7", "7.5", "word"])
def test_a_column_that_begins_with_nulls_gets_the_type_of_what_follows(add, monkeypatch, late):
    monkeypatch.setattr(csvsource, "_BLOCK", 64)
    found = add("a,b\n" + ",x\n" * 100 + f"{late},y\n")
    assert str(found["a"][-1]) == late


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a,b\n1,x\n2\n", "x.csv:3: .*expected 2 fields, got 1"),
        ("a,b\n1,x\n\n\n2,y,z\n", "x.csv:5: .*expected 2 fields, got 3"),
        ('a,b\n1,"two\nlines"\n2\n', "x.csv:4: .*expected 2 fields, got 1"),
        ("a,b\n" + "1,x\n" * 5000 + "word,y\n", "x.csv:5002: column 'a': .*'word'"),
        (b"a,b\n1,ok\n2,caf\xe9\n", "x.csv:3: not utf-8: byte 0xe9 at position 6"),
        (b"a,b\n" + b"1,x\n" * 5000 + b"1,\xff\n", "x.csv:5002: not utf-8"),
        ("a,b\n1,x\n".encode("utf-16"), "UTF-16"),
        ("", "Empty CSV file"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("a,\n1,2\n", "a column has no name"),
    ],
)
def test_a_csv_that_cannot_be_read_names_line_and_column_and_commits_nothing(
    add, project, monkeypatch, content, complaint
):
    monkeypatch.setattr(csvsource, "_BLOCK", 4096)
    with pytest.raises(DataError, match=complaint):
        add(content)
    with pytest.raises(UnknownName):
        project.datasets.resolve("d")
    assert list(project.datasets.files("d").list()) == []


def test_a_type_that_was_asked_for_is_not_guessed_away(add):
    with pytest.raises(DataError, match=r"x\.csv:3: column 'a'"):
        add("a\n1\n1.5\n", types={"a": "int64"})
    with pytest.raises(DataError, match="no column 'z'"):
        add("a\n1\n", types={"z": "int64"})


def test_a_type_that_does_not_exist_is_a_usage_error(add):
    with pytest.raises(UsageError, match="'number'"):
        add("a\n1\n", types={"a": "number"})
    with pytest.raises(UsageError, match="one character"):
        add("a\n1\n", separator="||")
    with pytest.raises(UsageError, match="klingon"):
        add("a\n1\n", encoding="klingon")


def test_packed_files_are_unpacked_on_the_way(add, tmp_path, project):
    with zipfile.ZipFile(tmp_path / "in.csv.zip", "w") as archive:
        archive.writestr("in.csv", "a,b\n1,x\n")
    version = project.datasets.add("z", [tmp_path / "in.csv.zip"])
    assert project.datasets.scan(version).collect().rows() == [(1, "x")]
    assert add(gzip.compress(b"a,b\n1,x\n"), "x.csv.gz").rows() == [(1, "x")]
    assert add(gzip.compress(b'{"a": 1}\n'), "x.jsonl.gz").rows() == [(1,)]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (
            "x.csv.gz",
            gzip.compress(b"a,b\n" + random.Random(0).randbytes(9000).hex().encode(), mtime=0)[:-2000],
            "damaged or incomplete",
        ),
        ("x.csv.gz", b"not packed", "damaged"),
        ("x.csv.zip", b"PK no", "damaged"),
        ("x.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("x.arrow", b"ARROW1 no", "cannot be read as ipc"),
        ("x.arrow", b"no", "cannot be read as ipc"),
        ("x.jsonl", '{"a": 1}\n{"a": 2,\n', r"x\.jsonl:2: not a line of JSON"),
        ("x.jsonl", '{"a": 1}\n[1]\n', r"x\.jsonl:2: a list, not an object"),
        ("x.jsonl", '{"a": 1}\n{"a": "x"}\n', r"x\.jsonl:2: field 'a' is a str here, and a number on line 1"),
        ("x.jsonl", b'{"a": "\xff"}\n', r"x\.jsonl:1: not a line of JSON"),
        ("x.jsonl", "", "Empty JSON stream"),
        ("x.jsonl", '{"a": 1}\n{"a": 1} {"a": 2}\n', r"x\.jsonl:2: not a line of JSON"),
        ("x.jsonl", '{"a": 1}\n{"a": "' + "y" * (9 << 20) + '"}\n', r"x\.jsonl:2: the line is longer than"),
        ("x.parquet", invalid_text(), "cannot be read as parquet: .*UTF8"),
    ],
)
def test_files_that_are_broken_are_named(add, project, name, content, complaint):
    with pytest.raises(DataError, match=complaint):
        add(content, name)
    with pytest.raises(UnknownName):
        project.datasets.resolve("d")


@pytest.mark.parametrize(("kind", "bad"), [("1.5", "oops"), ("1", "oops"), ("2013-01-01", "x"), ("true", "maybe")])
def test_a_value_that_does_not_fit_the_dataset_is_told_with_its_line(add, kind, bad):
    add(f"a,b\n{kind},x\n")
    with pytest.raises(DataError, match=rf"x\.csv:4: column 'a': .*{bad}") as error:
        add(f"a,b\n{kind},x\n,\n{bad},y\n", mode="append")
    assert "--max-bad" in error.value.hint


def test_json_lines_are_read_with_fields_that_come_and_go(add, monkeypatch):
    from mlopsfw_format_json import strict as jsonsource

    text = '{"a": 1, "n": null}\n' * 50 + '{"a": 2, "late": "x", "n": 1.5}\n' + '{"n": 2}\n'
    assert add(text, "x.jsonl").rows()[-2:] == [(2, 1.5, "x"), (None, 2.0, None)]
    monkeypatch.setattr(jsonsource, "_BLOCK", 256)
    assert add(text, "y.jsonl").rows()[-2:] == [(2, 1.5, "x"), (None, 2.0, None)]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_parquet_and_ipc_files_are_read_even_without_rows(project, tmp_path, suffix):
    frame = pl.DataFrame({"a": [1, 2], "s": ["x", None]})
    for name, rows in (("full", frame), ("empty", frame.clear())):
        path = tmp_path / f"{name}{suffix}"
        rows.write_parquet(path) if suffix == ".parquet" else rows.write_ipc(path)
        version = project.datasets.add(name, [path])
        assert project.datasets.scan(version).collect().equals(rows)


def test_a_file_in_the_stream_format_of_arrow_is_read(project, tmp_path):
    batch = pa.record_batch({"a": [1, 2]})
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    assert project.datasets.add("d", [tmp_path / "x.arrow"]).rows == 2


def test_several_files_make_one_version_in_their_order(project, tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number}.csv").write_text(f"a\n{number}\n")
    version = project.datasets.add("d", [tmp_path / "2.csv", tmp_path / "1.csv"])
    assert project.datasets.scan(version).collect()["a"].to_list() == [2, 1]
    (tmp_path / "3.csv").write_text("b\n3\n")
    with pytest.raises(DataError, match="add 'b'"):
        project.datasets.add("d", [tmp_path / "1.csv", tmp_path / "3.csv"])


def test_a_file_that_changes_while_it_is_read_is_refused(project, tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    real = csvsource.read_csv

    def changing(*arguments):
        yield from real(*arguments)
        path.write_text("a\n1\n2\n")

    monkeypatch.setattr(csvsource, "read_csv", changing)
    with pytest.raises(DataError, match="changed while mlopsfw read it"):
        project.datasets.add("d", [path])


def test_files_that_are_not_there_or_of_no_known_kind_say_so(project, tmp_path):
    with pytest.raises(DataError, match="no file"):
        project.datasets.add("d", [tmp_path / "x.csv"])
    (tmp_path / "x.doc").write_text("a")
    with pytest.raises(UsageError, match=r"\.parquet"):
        project.datasets.add("d", [tmp_path / "x.doc"])


def test_a_touched_but_equal_file_makes_no_version(project, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    assert project.datasets.add("d", [path]).new
    path.write_text("a\r\n1\r\n\r\n")
    assert not project.datasets.add("d", [path]).new
