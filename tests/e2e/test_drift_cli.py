"""`mlopsfw drift A B` says which columns moved, in a table, as JSON and as a page, and its exit code can stop a pipeline."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlopsfw.cli import run
from mlopsfw_format_csv import strict as csvsource


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


def test_what_a_flag_on_two_spans_of_time_cannot_show_is_said_where_something_is_flagged(files, capsys):
    assert run(["drift", "reference.parquet", "current.csv", "--html", "page.html"]) == 0
    assert "not that anything has changed: see docs/drift.md" in capsys.readouterr().out
    assert "If rows are exchangeable" in Path("page.html").read_text(encoding="utf-8")
    assert run(["drift", "reference.parquet", "same.parquet"]) == 0
    assert "spans of time" not in capsys.readouterr().out


def test_a_page_is_written(files, tmp_path):
    assert run(["drift", "reference.parquet", "current.csv", "--html", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<figure") == 3
    assert page.count('<figure class="drifted"') == 1
    assert "<h1>current.csv compared with reference.parquet</h1>" in page
    assert not {
        word for word in ("version 0", "endpoint", "training", "window") if word in page.partition("</style>")[2]
    }


def test_an_unknown_column_gets_the_nearest_name(files, capsys):
    assert run(["drift", "reference.parquet", "current.csv", "--columns", "movd"]) == 2
    assert "Did you mean 'moved'" in capsys.readouterr().err


def test_what_is_no_table_is_a_clear_error(files, tmp_path, capsys):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    assert run(["drift", "reference.parquet", "broken.parquet"]) == 1
    assert "broken.parquet" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["parquet", "csv", "arrow"])
def test_a_stream_says_what_the_whole_says_and_how_far_off_it_can_be(files, tmp_path, capsys, kind):
    for name in ("reference", "same"):
        rows = pl.read_parquet(f"{name}.parquet")
        {"parquet": rows.write_parquet, "csv": rows.write_csv, "arrow": rows.write_ipc}[kind](f"{name}.{kind}")
    said = []
    for how in ("--stream", "--no-stream"):
        assert run(["drift", f"reference.{kind}", "current.csv", how, "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0].pop("streamed") == {"error": 0.0}
    assert [one["column"] for one in said[0]["columns"]] == [one["column"] for one in said[1]["columns"]]
    for one, other in zip(said[0]["columns"], said[1]["columns"], strict=True):
        assert one | {"pvalue": 0.0} == other | {"pvalue": 0.0}
        assert one["pvalue"] == pytest.approx(other["pvalue"], rel=1e-9)
    assert run(["drift", f"reference.{kind}", f"same.{kind}", "--stream", "--check", "--html", "page.html"]) == 0
    assert "Streamed" in capsys.readouterr().out
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<figure") == 3


def test_a_csv_column_that_turns_into_text_late_is_text_in_a_stream_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(csvsource, "_BLOCK", 1 << 12)
    lines = "".join(f"{row % 9},{row % 7}\n" for row in range(9000))
    for name in ("before.csv", "after.csv"):
        (tmp_path / name).write_text(f"code,n\n{lines}x9,1\n", encoding="utf-8")
    assert run(["drift", str(tmp_path / "before.csv"), str(tmp_path / "after.csv"), "--stream", "--json"]) == 0
    types = {one["column"]: one["type"] for one in json.loads(capsys.readouterr().out)["columns"]}
    assert types == {"code": "categorical", "n": "numeric"}


@pytest.mark.parametrize("late", ["1.5", '"word"', "null"])
def test_jsonl_is_streamed_with_the_types_that_all_its_lines_say(tmp_path, capsys, late):
    lines = '{"x": 1, "y": 2}\n' * 200
    if late == '"word"':  # a field of two types is an error with its line, streamed too
        late = "[1]"
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(f'{lines}{{"x": {late}, "z": 1}}\n', encoding="utf-8")
    code = run(["drift", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), "--stream"])
    out, error = capsys.readouterr()
    if late == "[1]":
        assert (code, "a.jsonl:201" in error) == (1, True)
    else:
        assert (code, "0 of 3 columns drifted; 201 rows against 201." in out) == (0, True)


def test_damage_met_in_the_middle_of_a_stream_is_a_clear_error(files, tmp_path, capsys):
    whole = (tmp_path / "reference.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(whole[:4] + b"\0" * 96 + whole[100:])
    assert run(["drift", "torn.parquet", "reference.parquet", "--stream"]) == 1
    assert "torn.parquet cannot be read" in capsys.readouterr().err


@pytest.mark.slow
def test_a_table_ten_times_as_long_is_streamed_in_the_same_memory(tmp_path):
    peaks = [_peak_megabytes(tmp_path / f"{rows}.parquet", rows) for rows in (500_000, 5_000_000)]
    assert peaks[1] < peaks[0] + 60  # the rows alone would add 216 MB, both tables 432


def _peak_megabytes(file, rows):
    """Peak resident memory of comparing a file of three columns with itself, streamed, in a process of its own."""
    columns = {"x": np.random.default_rng(rows).normal(size=rows), "n": np.arange(rows), "k": np.arange(rows) % 9}
    pl.DataFrame(columns).with_columns(k=pl.col("k").cast(pl.String)).write_parquet(file, row_group_size=250_000)
    program = (  # not getrusage, which counts the parent's memory at the fork
        "import re, sys; from pathlib import Path; from mlopsfw.cli import run; code = run(sys.argv[1:]); "
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]); sys.exit(code)"
    )
    command = [sys.executable, "-c", program, "drift", str(file), str(file), "--stream"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1]) // 1024


def test_the_preset_says_its_rule_and_where_it_differs(files, capsys):
    command = ["drift", "reference.parquet", "current.csv", "--preset", "evidently"]
    assert run([*command, "--json", "--check"]) == 0  # one column of three is below Evidently's half
    said = json.loads(capsys.readouterr().out)
    assert said["drifted"] is False
    first = said["columns"][0]
    assert (first["column"], first["statistic"], first["drifted"], first["pvalue"]) == (
        "moved",
        "wasserstein",
        True,
        None,
    )
    assert said["preset"]["differences"]
    assert run([*command, "--columns", "moved", "--check"]) == 4
    assert "homogeneity" in capsys.readouterr().out


@pytest.mark.parametrize("beside", [("--alpha", "0.01"), ("--threshold", "0.2"), ("--html", "page.html")])
def test_the_preset_takes_no_thresholds_beside_its_own(files, capsys, beside):
    assert run(["drift", "reference.parquet", "same.parquet", "--preset", "evidently", *beside]) == 2
    assert beside[0] in capsys.readouterr().err
