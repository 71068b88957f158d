"""What a path means: patterns, folders, and the columns that folders' names make."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw.data.intake.paths import SourceFile, locate, partition_types
from mlopsfw.kernel.base.errors import DataError

SUFFIXES = (".csv", ".parquet")


@pytest.fixture
def folder(tmp_path):
    for name in ("b.csv", "a.csv", "sub/c.csv", "_tmp.csv", ".hidden.csv", "sub/notes.md", "z.parquet"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        if name.endswith("parquet"):
            pl.DataFrame({"x": [9]}).write_parquet(file)
        else:
            file.write_text(f"x\n{ord(file.stem[-1])}\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.csv", ["a.csv"]),
        ("*.csv", [".hidden.csv", "_tmp.csv", "a.csv", "b.csv"]),
        ("[ab].csv", ["a.csv", "b.csv"]),
        ("**/*.csv", [".hidden.csv", "_tmp.csv", "a.csv", "b.csv", "sub/c.csv"]),
        ("", ["a.csv", "b.csv", "sub/c.csv", "z.parquet"]),
        ("not-there.csv", ["not-there.csv"]),
    ],
)
def test_a_path_means_a_file_what_a_pattern_matches_or_what_a_folder_holds(folder, path, expected):
    found = [file.path.relative_to(folder).as_posix() for file in locate([folder / path], SUFFIXES)]
    assert found == expected


@pytest.mark.parametrize("path", ["*.jsonl", "sub/*/*.csv", "empty"])
def test_what_means_nothing_is_an_error(folder, path):
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"nothing matches|holds no file"):
        locate([folder / path], SUFFIXES)


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    (tmp_path / "[a].csv").write_text("x\n1\n", encoding="utf-8")
    (tmp_path / "a.csv").write_text("x\n2\n", encoding="utf-8")
    assert [file.path.name for file in locate([tmp_path / "[a].csv"], SUFFIXES)] == ["[a].csv"]


def test_folders_of_partitions_make_columns(project, tmp_path):
    for year, month, code, x in (
        (2013, "01", "a%20b", 1),
        (2013, "02", "__HIVE_DEFAULT_PARTITION__", 2),
        (2014, "01", "c", 3),
    ):
        file = (
            tmp_path / "t" / f"year={year}" / f"month={month}" / f"code={code}" / f"day=2013-01-0{x}" / "part-0.parquet"
        )
        file.parent.mkdir(parents=True)
        pl.DataFrame({"x": [x]}).write_parquet(file)
    expected = {
        "x": [1, 2, 3],
        "year": [2013, 2013, 2014],
        "month": [1, 2, 1],
        "code": ["a b", None, "c"],
        "day": [dt.date(2013, 1, day) for day in (1, 2, 3)],
    }
    for path in ("t", "t/**/*.parquet", "t/year=*/**/part-?.parquet"):
        version = project.datasets.add("d", [tmp_path / path], "replace", force=True)
        assert project.datasets.scan(version).collect().to_dict(as_series=False) == expected


def test_partitions_must_agree_and_may_not_be_columns_of_the_file(project, tmp_path):
    for name in ("k=1/a.csv", "k=2/x=5/b.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x\n1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"is partitioned by k, x, .* by k"):
        project.datasets.add("d", [tmp_path])
    with pytest.raises(DataError, match=r"has a column 'x', and its folder says x=5"):
        project.datasets.add("d", [tmp_path / "k=2"])


@given(st.lists(st.sampled_from(["7", "10", "007", "01", "-3", "x", "2013-01-02", None]), min_size=1, max_size=5))
def test_a_partition_column_keeps_what_its_texts_say(values):
    kind = str(partition_types([SourceFile(Path("f"), {"k": value}) for value in values])["k"])
    texts = [value for value in values if value is not None]
    if kind == "int64":
        assert [str(int(text)) for text in texts] == texts or all(len(text) == 2 for text in texts)
    elif kind == "date32[day]":
        assert set(texts) == {"2013-01-02"}
    else:
        assert kind == "string"


def test_a_step_runs_again_when_a_file_comes_to_a_pattern(bench):
    bench.write('[steps.ingest]\ndataset = "d"\npath = "in/*.csv"\n', files={"in/a.csv": "x\n1\n"})
    assert bench.run().status == "done"
    bench.run()
    assert bench.ran() == []
    bench.write("", files={"in/b.csv": "x\n2\n"})
    done = bench.run()
    assert bench.ran() == ["ingest"]
    assert bench.value(done, "ingest", "rows").collect()["x"].to_list() == [1, 2]
