"""A place where an option's file cannot be written is refused before the verb does anything."""

from __future__ import annotations

import os

import pytest

from mlopsfw.cli import run

VERBS = {
    "predict": "predict endpoints:/m rows.csv --out",
    "card": "models card m --out",
    "lineage": "lineage data:/t --html",
    "drift": "drift rows.csv rows.csv --html",
    "diff": "data diff t 1 2 --html",
    "check": "data check rows.csv --html",
    "infer": "data check rows.csv --infer -o",
    "monitor": "monitor run m --html",
    "checkpoint": "audit checkpoint",
}
MAKE_FOLDERS = {"infer", "checkpoint"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "p"\n')
    (tmp_path / "rows.csv").write_text("a\n1\n")
    (tmp_path / "folder.csv").mkdir()
    return tmp_path


@pytest.mark.parametrize("place", ["folder.csv", "rows.csv/x.csv", "none/x.csv", "x" * 300 + ".csv"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_place_that_holds_no_file_is_refused_before_anything_is_done(verb, place, folder, capsys):
    if verb in MAKE_FOLDERS and place == "none/x.csv":
        return
    assert run([*VERBS[verb].split(), place]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not (folder / ".mlopsfw").exists()  # nothing was asked of the project yet


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_that_cannot_be_replaced_is_refused_before_anything_is_done(verb, folder, capsys, monkeypatch):
    (folder / "mine.csv").write_text("mine")
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: path.name != "mine.csv" and allowed(path, mode)
    )  # root may all
    assert run([*VERBS[verb].split(), "mine.csv"]) == 2
    assert "cannot be replaced" in capsys.readouterr().err
    assert not (folder / ".mlopsfw").exists()


def test_a_file_that_can_be_written_is(folder):
    assert run(["drift", "rows.csv", "rows.csv", "--html", "page.html"]) == 0
    assert run(["drift", "rows.csv", "rows.csv", "--html", str(folder / "page.html")]) == 0
    assert run(["data", "check", "rows.csv", "--infer", "-o", "new/folder/c.toml"]) == 0
