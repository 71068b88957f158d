"""`runs get` prints a result of a run, or writes it to a file."""

from __future__ import annotations

import json

import polars as pl
import pytest

from mlopsfw.cli import run
from mlopsfw.project.script_run import start_run


@pytest.fixture
def get(project, tmp_path, capsys):
    """Log one artifact of each kind; return a runner of `runs get`."""
    (tmp_path / "note.txt").write_text("a note")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "inner.txt").write_text("inside")
    with start_run("all", project=project) as logged:
        logged.log_artifact({"auc": 0.5, "none": None}, "numbers")
        logged.log_artifact(pl.DataFrame({"a": [1, 2], "b": ["é", None]}), "rows")
        logged.log_artifact(tmp_path / "note.txt")
        logged.log_artifact(folder)

    def verb(name, *words):
        code = run(["--project", str(project.root), "runs", "get", f"runs:/latest/{name}", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return verb


def test_json_is_printed_as_json_and_a_table_as_json_lines(get):
    assert json.loads(get("numbers")[1]) == {"auc": 0.5, "none": None}
    assert [json.loads(line) for line in get("rows")[1].splitlines()] == [{"a": 1, "b": "é"}, {"a": 2, "b": None}]


def test_each_kind_is_written_to_a_file_or_a_folder(get, tmp_path):
    assert get("numbers", "--out", tmp_path / "n.json")[0] == 0
    assert get("rows", "--out", tmp_path / "r.csv")[0] == 0
    assert get("note.txt", "--out", tmp_path / "copy.txt")[0] == 0
    assert get("folder", "--out", tmp_path / "copy")[0] == 0
    assert json.loads((tmp_path / "n.json").read_text())["auc"] == 0.5
    assert pl.read_csv(tmp_path / "r.csv")["a"].to_list() == [1, 2]
    assert (tmp_path / "copy.txt").read_text() == "a note"
    assert (tmp_path / "copy" / "inner.txt").read_text() == "inside"


def test_what_no_terminal_shows_asks_for_a_file_and_a_folder_replaces_nothing(get, tmp_path):
    for name in ("note.txt", "folder"):
        code, out, err = get(name)
        assert (code, out) == (2, "")
        assert "--out FILE" in err
    (tmp_path / "there").write_text("mine")
    code, _, err = get("folder", "--out", tmp_path / "there")
    assert (code, (tmp_path / "there").read_text()) == (2, "mine")
    assert "Name a new folder" in err


def test_an_unknown_artifact_gets_the_nearest_name(get):
    code, _, err = get("numberz")
    assert code == 2
    assert "numbers" in err
