"""Deliberately broken files: what each gets, strictly and with a quarantine; the table of docs/data.md, kept true."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys

import polars as pl
import pytest

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.kernel.base.errors import DataError, UnknownName

ROWS = "1,x\n" * 300
CSV = "a,b\n" + ROWS


def parquet() -> bytes:
    sink = io.BytesIO()
    pl.DataFrame({"a": range(1000)}).write_parquet(sink)
    return sink.getvalue()


def ipc() -> bytes:
    sink = io.BytesIO()
    pl.DataFrame({"a": range(1000)}).write_ipc(sink)
    return sink.getvalue()


REFUSED = {
    "nothing.csv": (b"", "Empty CSV"),
    "nothing.jsonl": (b"", "Empty JSON|no line"),
    "nothing.parquet": (b"", "size is 0 bytes"),
    "nothing.arrow": (b"", "cannot be read as ipc"),
    "utf16.csv": (CSV.encode("utf-16"), ":1: this is UTF-16"),
    "utf16-unmarked.csv": (CSV.encode("utf-16-le"), ":1: this is not text, or it is UTF-16"),
    "nul.csv": (b"\0" * 1000, ":1: this is not text"),
    "twice.csv": (b"a,a\n1,2\n", "two columns are called 'a'"),
    "long.csv": (b"a,b\n1," + b"y" * 100_000_000 + b"\n", ":2: a row is longer than 4 MiB"),
    "cut.csv.gz": (gzip.compress(CSV.encode())[:-4], "damaged or incomplete"),
    "cut.parquet": (parquet()[:-50], "cannot be read as parquet"),
    "cut.arrow": (ipc()[:-300], "cannot be read as ipc"),
}


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_broken_as_a_whole_is_refused_with_or_without_a_quarantine(project, tmp_path, name, share):
    content, complaint = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        project.datasets.add("d", [tmp_path / name], Change(mode="replace", max_bad=share))
    with pytest.raises(UnknownName):
        project.datasets.resolve("d")
    assert list(project.datasets.files("d").list()) == []


UNCLOSED = {
    "unclosed": (CSV + '2,"y\n' + ROWS, 302, '2,"y\n' + ROWS, 301),
    "unclosed after an inch sign": (CSV + '2,y"\n2,"y\n' + ROWS, 303, '2,"y\n' + ROWS, 301),
    "cut within quotes": (CSV + '2,"a y', 302, '2,"a y', 1),
    "ended by two quotes": (CSV + '2,"a ""', 302, '2,"a ""', 1),
}


@pytest.mark.parametrize("what", UNCLOSED)
def test_a_quote_that_is_never_closed_is_an_error_with_its_line_or_one_bad_row_that_counts_as_all_it_swallowed(
    project, tmp_path, what
):
    content, line, raw, lines = UNCLOSED[what]
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"x\.csv:{line}: the row has a quote that is never closed"):
        project.datasets.add("d", [path])
    rows = content.count("\n", 0, -len(raw)) - 1
    enough, less = ((lines + more) / (rows + lines) for more in (0.5, -0.5))
    with pytest.raises(DataError, match=f"{lines} of {rows + lines} rows are bad"):
        project.datasets.add("d", [path], Change(mode="replace", max_bad=less))
    assert project.datasets.add("d", [path], Change(mode="replace", max_bad=enough)).rows == rows
    bad = project.datasets.quarantine("d")[0]
    assert (bad.line, bad.raw) == (line, raw)
    assert bad.reason.startswith("a quote that is never closed")


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_header_whose_quote_is_never_closed_leaves_no_columns(project, tmp_path, share):
    (tmp_path / "x.csv").write_text('a,"b\n1,2\n')
    with pytest.raises(DataError, match=r"x\.csv:1: the row has a quote that is never closed"):
        project.datasets.add("d", [tmp_path / "x.csv"], Change(mode="replace", max_bad=share))


READ = {
    "quoted newlines": (b'a,b\n1,"x\ny"\n', [(1, "x\ny")]),
    "quotes that are part of the text": (b'a,b\n1,5" x\n2,"say ""x""\ny"', [(1, '5" x'), (2, 'say "x"\ny')]),
    "byte order mark": (b"\xef\xbb\xbfa,b\n1,x\n", [(1, "x")]),
    "nulls spelled six ways": (b"a,b\nNA,x\nNaN,x\nnull,x\nN/A,x\n,x\n#N/A,x\n7,x\n", [(None, "x")] * 6 + [(7, "x")]),
    "header only": (b"a,b\n", []),
    "carriage returns alone": (b"a,b\r1,x\r2,y\r", [(1, "x"), (2, "y")]),
    "a NUL in a text": (b"a,b\n1,x\0y\n", [(1, "x\0y")]),
}


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("what", READ)
def test_a_file_that_only_looks_broken_is_read(project, tmp_path, what, share):
    content, rows = READ[what]
    (tmp_path / "x.csv").write_bytes(content)
    version = project.datasets.add("d", [tmp_path / "x.csv"], Change(mode="replace", max_bad=share))
    assert project.datasets.scan(version).collect().rows() == rows
    assert project.datasets.quarantine("d") == []


@pytest.mark.parametrize(
    ("row", "complaint"),
    [(b"1", "got 1"), (b"1,\xe9", "not utf-8"), (b"1,x,y", "got 3")],
    ids=["cut", "latin-1", "long"],
)
def test_a_bad_row_is_an_error_or_goes_to_quarantine(project, tmp_path, row, complaint):
    path = tmp_path / "x.csv"
    path.write_bytes(CSV.encode() + row)
    with pytest.raises(DataError, match=rf"x\.csv:302: .*{complaint}"):
        project.datasets.add("d", [path])
    assert project.datasets.add("d", [path], Change(mode="replace", max_bad=0.01)).rows == 300
    assert [bad.line for bad in project.datasets.quarantine("d")] == [302]


LIMITED = """
import resource, sys
from pathlib import Path
import polars, pyarrow.csv, pyarrow.parquet, deltalake
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.project.facade import Project

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (1200 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
files = [Path(sys.argv[2])] * 12
version = Project.open(Path(sys.argv[1])).datasets.add("big", files, Change(mode="replace", max_bad=float(sys.argv[3])))
print(version.rows)
"""


@pytest.mark.slow
@pytest.mark.disk
@pytest.mark.timeout(300)
@pytest.mark.parametrize("share", [pytest.param("0", marks=pytest.mark.nightly), "0.01"])
def test_files_larger_than_the_memory_that_there_is_are_taken_in(project, tmp_path, share):
    path = tmp_path / "x.csv"
    columns = {"id": range(500_000)} | {f"t{n}": [f"text {n} of this row, which is long"] * 500_000 for n in range(6)}
    pl.DataFrame(columns).write_csv(path)
    assert path.stat().st_size * 12 > 1200 << 20
    command = [sys.executable, "-c", LIMITED, str(project.root), str(path), share]
    plain = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # the others reserve a gigabyte of addresses at once
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    assert done.stdout == "6000000\n", done.stderr


SWALLOWING = LIMITED.replace("(1200 << 20)", "(300 << 20)").replace(" * 12", "")


@pytest.mark.slow
@pytest.mark.disk
@pytest.mark.timeout(120)
@pytest.mark.parametrize("share", ["0", "0.99999999"])
def test_a_quote_that_swallows_more_than_there_is_memory_is_told_all_the_same(project, tmp_path, share):
    path = tmp_path / "x.csv"
    with path.open("w") as file:
        file.write('a,b\n1,x\n2,"y\n')
        for _ in range(500):
            file.write("1,x and some more\n" * 60_000)
    command = [sys.executable, "-c", SWALLOWING, str(project.root), str(path), share]
    plain = os.environ | {
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "1",
    }  # each thread's arena reserves 64 MiB of addresses
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    assert done.stdout == ("1\n" if share != "0" else ""), done.stderr
    if share == "0":
        assert "x.csv:3: the row has a quote that is never closed" in done.stderr
    else:
        (bad,) = project.datasets.quarantine("big")
        assert (bad.line, len(bad.raw)) == (3, 65_536)
        assert "540,000,005 bytes on 30,000,001 lines, to the end of the file (the first 65,536 are kept)" in bad.reason
