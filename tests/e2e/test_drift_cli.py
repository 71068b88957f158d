"""`mlopsfw drift A B` says which columns moved, in a table, as JSON and as a page, and its exit code can stop a pipeline."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from mlopsfw.cli import run


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(4)

    def frame(shift):
        return pl.DataFrame(
            {"still": rng.normal(size=3000), "moved": rng.normal(shift, 1, 3000), "kind": rng.choice(["a", "b"], 3000)}
        )

    frame(0.0).write_parquet("reference.parquet")
    frame(0.6).write_csv("current.csv")
    frame(0.0).write_parquet("same.parquet")


def test_json_is_one_object_most_drifted_first(files, capsys):
    assert run(["drift", "reference.parquet", "current.csv", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["drifted"] is True
    assert [c["column"] for c in said["columns"] if c["drifted"]] == ["moved"]
    assert said["columns"][0].keys() == {
        "column",
        "type",
        "statistic",
        "value",
        "pvalue",
        "effect",
        "threshold",
        "drifted",
    }


def test_check_exits_with_4_only_where_there_is_drift(files, capsys):
    assert run(["drift", "reference.parquet", "current.csv", "--check"]) == 4
    assert "moved" in capsys.readouterr().err
    assert run(["drift", "reference.parquet", "same.parquet", "--check"]) == 0


def test_a_page_is_written(files, tmp_path):
    assert run(["drift", "reference.parquet", "current.csv", "--html", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<figure") == 3
    assert page.count('<figure class="drifted"') == 1


def test_an_unknown_column_gets_the_nearest_name(files, capsys):
    assert run(["drift", "reference.parquet", "current.csv", "--columns", "movd"]) == 2
    assert "Did you mean 'moved'" in capsys.readouterr().err


def test_what_is_no_table_is_a_clear_error(files, tmp_path, capsys):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    assert run(["drift", "reference.parquet", "broken.parquet"]) == 1
    assert "broken.parquet" in capsys.readouterr().err
