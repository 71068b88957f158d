"""A project's folder may have any name that Delta Lake can read. Another one is refused before anything is written."""

from __future__ import annotations

import pytest

from mlopsfw.cli import run


@pytest.fixture
def folder(request, tmp_path, monkeypatch):
    folder = tmp_path / request.param
    for each in (folder, tmp_path / "x y"):
        each.mkdir()
        (each / "mlopsfw.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
        (each / "one.csv").write_text("a\n1\n2\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("folder", ["100%", "ä b#c?d", "a%zz"], indirect=True)
def test_a_dataset_is_added_appended_to_and_read_in_a_folder_of_any_name(folder, capsys):
    assert run(["data", "add", "t", "one.csv", "--quiet"]) == 0
    assert run(["data", "add", "t", "one.csv", "--append", "--force", "--quiet"]) == 0
    assert run(["data", "show", "t"]) == 0
    assert "4 rows" in capsys.readouterr().out
    assert len(list((folder / ".mlopsfw/store/tables/datasets/t/_delta_log").glob("*.json"))) == 2


@pytest.mark.parametrize("folder", ["x%20y", "%41", "x\\y", "x\ny", "x\x1by"], indirect=True)
@pytest.mark.parametrize("option", ["--append", "--force"])
def test_a_folder_whose_name_delta_lake_decodes_is_refused_before_a_version_exists(folder, option, capsys):
    assert run(["data", "add", "t", "one.csv", "--quiet", option]) == 1
    told = capsys.readouterr().err
    assert repr(str(folder))[1:-1] in told
    assert "Rename the folder" in told
    assert not list((folder / ".mlopsfw/store").rglob("dataset/t/*"))
    assert not (folder.parent / "x y" / ".mlopsfw").exists()


@pytest.mark.parametrize("folder", ["a"], indirect=True)
@pytest.mark.parametrize("option", [(), ("--reference",)])
def test_an_outside_table_in_such_a_folder_is_refused(folder, option, capsys):
    (folder / "out%41side" / "_delta_log").mkdir(parents=True)
    assert run(["data", "add", "t", *option, "out%41side"]) == 1
    assert "Rename the folder" in capsys.readouterr().err
