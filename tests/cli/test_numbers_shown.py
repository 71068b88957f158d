"""Infinity and NaN are numbers: what prints them tells them from a missing value."""

from __future__ import annotations

import io
import json
import math

import polars as pl
import pytest

from mlopsfw.cli import run
from mlopsfw.cli.output import emit_json, table
from mlopsfw.kernel.roles.engine import StepResult
from mlopsfw.pipeline.run.display import Display


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    values = [1.5, math.inf, -math.inf, math.nan, None]
    pl.DataFrame({"v": values, "l": [[value] for value in values]}).write_parquet(tmp_path / "i.parquet")
    assert run(["data", "add", "i", "i.parquet", "--quiet"]) == 0
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_data_show_tells_infinity_and_nan_from_a_missing_value(capsys):
    capsys.readouterr()
    assert run(["data", "show", "i"]) == 0
    rows = capsys.readouterr().out.splitlines()[-5:]
    assert [row.split() for row in rows] == [["1.5", "1.5"], ["inf", "inf"], ["-inf", "-inf"], ["nan"] * 2, ["–"] * 2]
    assert run(["data", "show", "i", "--json"]) == 0
    head = json.loads(capsys.readouterr().out)["head"]
    assert [row["v"] for row in head] == [1.5, "inf", "-inf", "nan", None]
    assert [row["l"] for row in head] == [[1.5], ["inf"], ["-inf"], ["nan"], [None]]


def test_every_verb_prints_such_numbers_within_lists_and_records(capsys):
    emit_json({"a": [math.nan, {"b": (math.inf, None)}], "c": -math.inf})
    assert json.loads(capsys.readouterr().out) == {"a": ["nan", {"b": ["inf", None]}], "c": "-inf"}
    table([{"a": math.nan, "b": None}])
    assert capsys.readouterr().out.splitlines()[1].split() == ["nan", "–"]


def test_a_whole_number_is_shown_with_all_of_its_digits(capsys):
    table([{"rows": 150001.0, "loss": 150001.5}])
    assert capsys.readouterr().out.splitlines()[1].split() == ["150001", "1.5e+05"]
    stream = io.StringIO()
    Display(None, stream).finished("fit", StepResult(metrics={"rows": 150001.0, "auc": 0.61239}))
    assert "rows=150001, auc=0.6124" in stream.getvalue()
