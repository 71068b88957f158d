"""Tags on dataset versions: one version each, moved only when asked, known wherever a version is, and none lost in a race."""

from __future__ import annotations

import json
import threading

import polars as pl
import pytest

from mlopsfw.kernel.base.errors import InvalidReference, UnknownName, UsageError
from mlopsfw.pipeline.run.inputs import Inputs
from mlopsfw.project.facade import Project


@pytest.fixture
def datasets(project):
    for number in range(3):
        project.datasets.commit("flights", pl.DataFrame({"id": [number]}), "append")
    return project.datasets


def test_a_tag_stands_for_its_version_wherever_a_number_does(datasets, project):
    assert datasets.tag("flights", "golden", 2).tags == ("golden",)
    assert datasets.resolve("flights@golden").version == 2
    assert datasets.scan("data:/flights@golden").collect()["id"].to_list() == [0, 1]
    assert datasets.verify("flights@golden").version == 2
    assert Inputs(project.components).resolve("data:/flights@golden").ref == "data:/flights@2"
    assert project.lineage.walk("data:/flights@golden").root == "data:/flights@2"
    assert [version.tags for version in datasets.log("flights")] == [(), ("golden",), ()]


def test_a_tag_moves_only_when_asked_and_putting_it_again_is_no_event(datasets):
    datasets.tag("flights", "golden", 1)
    before = datasets.history("flights").seq
    assert datasets.tag("flights", "golden", 1).version == 1
    assert datasets.history("flights").seq == before
    with pytest.raises(UsageError, match="on version 1") as error:
        datasets.tag("flights", "golden", 2)
    assert "--move" in error.value.hint
    assert datasets.resolve("flights@golden").version == 1
    assert datasets.tag("flights", "golden", move=True).version == 3
    assert [version.tags for version in datasets.log("flights")] == [("golden",), (), ()]


def test_a_tag_that_was_taken_away_is_unknown_and_may_be_put_elsewhere(datasets):
    datasets.tag("flights", "golden", 1)
    datasets.tag("flights", "gold", 1)
    assert datasets.untag("flights", "golden").tags == ("gold",)
    with pytest.raises(UnknownName, match="golden") as error:
        datasets.resolve("flights@golden")
    assert "gold" in error.value.hint
    with pytest.raises(UnknownName):
        datasets.untag("flights", "golden")
    assert datasets.tag("flights", "golden", 2).version == 2


@pytest.mark.parametrize("tag", ["3", "latest", "", "Golden", "a b", "../x", "a/b", "a@b", "x" * 101, "-x"])
def test_what_could_be_taken_for_something_else_is_no_tag(datasets, tag):
    with pytest.raises(InvalidReference):
        datasets.tag("flights", tag)
    assert not datasets.history("flights").tags


def test_a_restored_version_and_the_next_commit_do_not_have_the_tags(datasets):
    datasets.tag("flights", "golden", 1)
    assert datasets.restore("flights", 1).tags == ()
    datasets.commit("flights", pl.DataFrame({"id": [9]}))
    assert datasets.log("flights")[-1].tags == ("golden",)
    assert "tags" not in [event.body for event in datasets.stream("flights").events()][-1]


def test_taggers_and_writers_at_once_lose_nothing(datasets, project):
    failures = []

    def work(who):
        mine = Project.open(project.root).datasets
        try:
            for number in range(4):
                mine.tag("flights", f"t-{who}-{number}", 1 + number % 3)
                mine.tag("flights", "everybodys", 1 + (who + number) % 3, move=True)
                if who == 0:
                    mine.commit("flights", pl.DataFrame({"id": [100 + number]}))
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    history = datasets.history("flights")
    assert {tag: v for tag, v in history.tags.items() if tag != "everybodys"} == {
        f"t-{who}-{number}": 1 + number % 3 for who in range(4) for number in range(4)
    }
    assert datasets.scan("flights").collect()["id"].to_list() == [0, 1, 2, 100, 101, 102, 103]
    moves = [event.body for event in datasets.stream("flights").events() if event.body.get("tag") == "everybodys"]
    assert [move["was"] for move in moves[1:]] == [move["version"] for move in moves[:-1]]


def test_the_verb_tags_moves_removes_and_log_and_show_tell_it(datasets, project, capsys):
    from mlopsfw.cli import run

    def verb(*words):
        code = run(["--project", str(project.root), "data", *words])
        return code, capsys.readouterr().out

    assert verb("tag", "flights@1", "golden", "-m", "audited") == (0, "golden is on data:/flights@1\n")
    assert verb("tag", "flights", "golden")[0] == 2
    assert verb("tag", "flights", "golden", "--move")[1] == "golden is on data:/flights@3\n"
    assert "golden" in verb("log", "flights")[1]
    assert "tags: golden" in verb("show", "flights@golden")[1]
    assert json.loads(verb("log", "flights", "--json")[1])[0]["tags"] == ["golden"]
    assert "2 added, 0 removed" in verb("diff", "flights", "1", "golden", "--key", "id")[1]
    verb("tag", "flights@1", "first")
    assert "has the content of version 1" in verb("restore", "flights", "first")[1]
    removed = json.loads(verb("tag", "flights", "golden", "--remove", "--json")[1])
    assert (removed["removed"], removed["version"]["tags"]) == (True, [])
