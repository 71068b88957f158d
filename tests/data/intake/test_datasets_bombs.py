"""Files that are small and unpack to much: real bombs, built here, which must neither fill memory nor leave a version."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.kernel.base.errors import DataError, UnknownName, UsageError

LINE = b"1,xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
COPIES = 3 << 20  # of the line: 200 MB


def gzip_csv(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        file.write(b"a,b\n")
        for _ in range(COPIES >> 12):
            file.write(LINE * (1 << 12))


def zip_csv(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.csv", "w") as file:
        file.write(b"a,b\n")
        for _ in range(COPIES >> 12):
            file.write(LINE * (1 << 12))


def one_line(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        for _ in range(200):
            file.write(b" " * (1 << 20))


def blank_lines(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        file.write(b"a,b\n1,x\n")
        for _ in range(200):
            file.write(b"\n" * (1 << 20))


def same_values(path: Path) -> None:
    """Write 1.6 GB of one value: 2^24 rows of a 100 character text."""
    rows = 1 << 24
    column = pa.DictionaryArray.from_arrays(zeros(rows), ["x" * 100])
    pq.write_table(pa.table({"a": column}), path, store_schema=False)


def zeros(rows: int) -> pa.Array:
    return pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(bytes(rows))])


def one_long_value(path: Path) -> None:
    """Write 65,536 rows of a megabyte each: one batch of the usual length would be 64 GB."""
    column = pa.DictionaryArray.from_arrays(zeros(1 << 16), ["x" * (1 << 20)])
    pq.write_table(pa.table({"a": column}), path, store_schema=False, dictionary_pagesize_limit=1 << 30)


def one_long_page(path: Path) -> None:
    table = pa.table({"a": pa.array([b"\0" * (1 << 20)] * 300)})
    pq.write_table(table, path, use_dictionary=False, compression="zstd")


BOMBS = {
    "lines.csv.gz": gzip_csv,
    "lines.csv.zip": zip_csv,
    "line.jsonl.gz": one_line,
    "blank.csv.gz": blank_lines,
    "same.parquet": same_values,
    "long.parquet": one_long_value,
    "page.parquet": one_long_page,
}

MEASURED = """
import resource, sys
from pathlib import Path
import polars, pyarrow.csv, pyarrow.json, pyarrow.parquet, deltalake
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.project.facade import Project

datasets = Project.open(Path(sys.argv[1])).datasets
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    datasets.add("d", [Path(sys.argv[2])], Change(mode="replace", max_bad=float(sys.argv[3])))
except DataError as error:
    print(error, error.hint)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, file=sys.stderr)
"""


@pytest.fixture(scope="module", params=BOMBS)
def bomb(request, tmp_path_factory) -> Path:
    """Make a bomb once for all tests of it."""
    path = tmp_path_factory.mktemp("bomb") / request.param
    BOMBS[request.param](path)
    return path


@pytest.mark.parametrize(
    "share", [pytest.param("0", marks=pytest.mark.nightly), "0.01"]
)  # of bad rows, which are set aside
def test_a_bomb_is_refused_with_its_sizes_and_fills_neither_memory_nor_disk(project, bomb, share):
    path = bomb
    command = [sys.executable, "-c", MEASURED, str(project.root), str(path), share]
    plain = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    size = path.stat().st_size
    assert f"{path} has {size:,} bytes and unpacks to" in done.stdout, done.stderr
    assert "--max-ratio" in done.stdout
    assert int(done.stderr.split()[-1]) < 500, "MiB"
    with pytest.raises(UnknownName):
        project.datasets.resolve("d")
    assert list(project.datasets.files("d").list()) == []


def test_the_ratio_that_the_error_names_lets_the_file_in(project, tmp_path):
    path = tmp_path / "x.csv.gz"
    gzip_csv(path)
    with pytest.raises(DataError) as refused:
        project.datasets.add("d", [path])
    ratio = float(refused.value.hint.rstrip(".").split()[-1])
    assert project.datasets.add("d", [path], Change(mode="replace", max_ratio=ratio)).rows == COPIES


def test_a_small_file_may_unpack_to_any_ratio_and_a_repetitive_one_to_fifty(project, tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + LINE * 100_000))
    assert path.stat().st_size * 300 < len(LINE) * 100_000
    assert project.datasets.add("d", [path]).rows == 100_000


def test_a_long_text_in_a_dictionary_is_read_as_it_was_written(project, tmp_path):
    texts = ["x" * (1 << 20), "y", None, "x" * (1 << 20)] * 16
    frame = pl.DataFrame({"a": texts, "n": range(64)})
    pq.write_table(frame.to_arrow(), tmp_path / "x.parquet", row_group_size=20, dictionary_pagesize_limit=1 << 30)
    version = project.datasets.add("d", [tmp_path / "x.parquet"])
    assert project.datasets.scan(version).collect().equals(frame)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_another_method_than_deflate_is_refused_before_it_is_unpacked(project, tmp_path, method):
    with zipfile.ZipFile(tmp_path / "x.csv.zip", "w", method) as archive:
        archive.writestr("x.csv", b"a,b\n1,x\n")
    with pytest.raises(DataError, match="does not use the deflate method"):
        project.datasets.add("d", [tmp_path / "x.csv.zip"])


@pytest.mark.parametrize("ratio", [0.5, float("nan")])
def test_a_ratio_below_one_is_refused(ratio):
    with pytest.raises(UsageError, match="max_ratio: must be at least 1"):
        Change(max_ratio=ratio).check()
