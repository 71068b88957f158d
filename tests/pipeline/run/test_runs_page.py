"""The page of a list of runs: sorted and filtered by its reader in a real browser, and nothing that a name could run."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest

from mlopsfw.cli import run, run_pages
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.run.conditions import filtered
from mlopsfw.pipeline.run.runs_page import runs_page
from mlopsfw.project.script_run import search_runs, start_run


def record(number, **more):
    facts = {"name": "tuning", "status": "done", "started": "2026-11-30T01:02:03.000Z", "seconds": 1.0, "actor": "ada"}
    return {"run": f"r{number}", **facts, **more}


def listed(document):
    """Return the runs that a page shows, in order."""
    body = document.partition("<tbody>")[2].partition("</tbody>")[0]
    return re.findall(r"<tr><td>(?:<a[^>]*>)?(\w+)", body)


def columns(page):
    return re.findall(r"<button>([^<]*)", page)


RUNS = [
    record(0, **{"metrics.loss": 0.5, "params.kind": "adam"}, name="my runs"),
    record(1, **{"metrics.loss": 0.25, "params.kind": "sgd"}),
    record(2, **{"params.kind": 7}, status="failed"),
    record(3, **{"metrics.loss": 1e-7, "params.kind": "adam"}, name="<night>"),
]


def test_its_columns_are_the_facts_the_metrics_and_the_parameters_that_differ_or_those_that_were_named():
    page = runs_page([{**each, "params.same": 1} for each in RUNS])
    assert columns(page) == ["run", "name", "status", "started", "seconds", "actor", "metrics.loss", "params.kind"]
    assert columns(runs_page(RUNS, ["params.kind"]))[6:] == ["params.kind"]
    assert columns(runs_page([]))[6:] == []


def test_without_a_script_it_shows_the_first_hundred_runs():
    page = runs_page([record(number) for number in range(150)])
    assert listed(page) == [f"r{number}" for number in range(100)]


def test_runs_that_have_a_page_are_links_to_it():
    page = runs_page(RUNS, folder="my runs", pages={"r1"})
    assert re.findall(r'<a href="([^"]*)">', page) == ["my%20runs/r1.html"]


FILTERS = {
    "": ["r0", "r1", "r2", "r3"],
    "adam": ["r0", "r3"],
    "loss<0.5": ["r1", "r3"],
    "metrics.loss>=0.25 kind!=sgd": ["r0"],
    "status=failed": ["r2"],
    "night": ["r3"],
    'name="my runs" ADAM': ["r0"],
    "kind<8": ["r2"],
    "name!=tuning loss>0": ["r0", "r3"],
    "loss < 0.5 and kind == 'sgd'": ["r1"],
    "name='my runs' AND loss>= .25": ["r0"],
    "loss<0.5 and night": ["r3"],
    "night and loss<0.5": ["r3"],
}


@pytest.mark.parametrize("words", FILTERS)
def test_a_filter_is_words_that_a_run_holds_and_conditions_on_its_columns(words):
    assert [each["run"] for each in filtered(RUNS, words)] == FILTERS[words]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("lss<1", "no run has 'lss'"), ("name='a", "cannot be read"), ("loss>", "'loss>' is no condition"),
        ("<1", "'<1' is no condition"), ("loss<>1", "'loss<>1' is no condition"), ("loss<1 or loss>2", "knows no 'or'"),
        ("loss<1 or adam", "knows no 'or'"),
    ],
)  # fmt: skip
def test_a_filter_that_no_run_can_meet_is_refused(words, why):
    with pytest.raises(UsageError, match=why) as caught:
        filtered(RUNS, words)
    assert caught.value.hint


def test_a_column_that_no_run_has_is_answered_with_the_end_of_a_name_or_a_few():
    many = [
        record(0, **{f"metrics.fit[{number}].loss{number}": 1.0 for number in range(300)}, **{"params.fit.rate": 1})
    ]
    with pytest.raises(UsageError, match="no run has 'rat'") as caught:
        filtered(many, "rat=1")
    assert caught.value.hint == "Did you mean 'rate'?"
    with pytest.raises(UsageError, match="no run has 'optimizer'") as caught:
        filtered(many, "optimizer=1")
    assert len(caught.value.hint) < 300


def test_the_verb_and_search_runs_take_the_filter_before_the_limit(project, capsys):
    for number in range(4):
        with start_run("s", project=project, params={"rate": number}) as opened:
            opened.log_metric("loss", number / 4)
    ids = project.runs.ids()
    here = ["--project", str(project.root), "runs", "list", "--json"]
    assert run([*here, "--where", "loss<0.6 rate>=1", "--limit", "1"]) == 0
    assert [each["run"] for each in json.loads(capsys.readouterr().out)] == [ids[1]]
    assert search_runs(where="loss<0.6", limit=2, project=project)["run"].to_list() == ids[1:3]
    assert search_runs(where="loss>9", project=project).height == 0
    assert run([*here, "--where", "los<1"]) == 2


@pytest.mark.server
def test_a_real_browser_filters_by_words_and_conditions_and_follows_links(browser):
    page = runs_page(RUNS, folder="my runs", pages={"r3"})
    for words, left in FILTERS.items():
        out = browser.open(page, words)
        assert listed(out) == left, words
        assert f"{len(left)} of 4 runs" in out
    assert 'href="my%20runs/r3.html"' in browser.open(page, "night")
    assert 'class="wrong"' in browser.open(page, "nothing<1")


@pytest.mark.server
@pytest.mark.parametrize(
    ("column", "clicks", "order"),
    [("metrics.loss", 1, ["r0", "r1", "r3", "r2"]), ("metrics.loss", 2, ["r3", "r1", "r0", "r2"]), ("params.kind", 1, ["r2", "r0", "r3", "r1"])],
)  # fmt: skip
def test_a_real_browser_sorts_by_a_column_with_runs_without_a_value_last(browser, column, clicks, order):
    click = f"[...document.querySelectorAll('th button')].find((b) => b.textContent === '{column}').click();" * clicks
    page = re.sub("default-src 'none';.*?\"", '"', runs_page(RUNS))  # so that the test may click
    assert listed(browser.open(page.replace("</html>", f"<script>{click}</script></html>"))) == order


@pytest.mark.server
def test_a_real_browser_runs_only_the_script_of_the_page_and_fetches_nothing(browser):
    evil = f"</script><script>document.title='pwned'</script><img src={browser.url}/img onerror=\"document.title='pwned'\">"
    page = runs_page([record(0, name=evil, **{f"params.{evil}": evil}), record(1)])
    out = browser.open(page.replace("<tbody>", f"<tbody>{evil}"))  # one that slipped through, too
    assert "<title>2 runs" in out
    assert "2 of 2 runs" in out
    assert browser.asked == []


def test_the_verb_writes_the_page_of_the_list_and_of_each_run_once(project, tmp_path, monkeypatch, capsys):
    for number in range(3):
        with start_run("s", project=project, params={"rate": number}) as opened:
            opened.log_metric("loss", 3 - number, 0)
            opened.log_metric("loss", number, 1)
    ids, file = project.runs.ids(), tmp_path / "list.html"
    verb = ["--project", str(project.root), "runs", "list", "--html", str(file)]
    assert run([*verb, "--sort", "metrics.loss", "--pages"]) == 0
    assert listed(file.read_text()) == ids[::-1]
    pages = {page.stem: page for page in (tmp_path / "list").iterdir()}
    assert set(pages) == set(ids)
    assert "<figure>" in pages[ids[0]].read_text()
    monkeypatch.setattr(run_pages, "write_run_page", None)  # each is there already
    assert run([*verb, "--pages"]) == 0
    assert file.read_text().count('<a href="list/') == 3
    assert run(["--project", str(project.root), "runs", "list", "--pages"]) == 2
    assert "Add --html" in capsys.readouterr().err


def test_a_page_that_was_written_while_its_run_went_on_is_written_once_more_after_the_end(project, tmp_path):
    verb = ["--project", str(project.root), "runs", "list", "--html", str(tmp_path / "list.html"), "--pages"]
    with start_run("s", project=project) as opened:
        assert run(verb) == 0
        page = tmp_path / "list" / f"{opened.id}.html"
        assert 'http-equiv="refresh"' in page.read_text()
    assert run(verb) == 0
    assert "refresh" not in page.read_text()


def test_the_page_of_a_run_that_goes_on_is_written_anew_and_read_again_until_it_ends(
    project, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(run_pages, "_RELOAD", 0.01)
    file = tmp_path / "run.html"
    verb = ["--project", str(project.root), "runs", "show", "latest", "--follow"]
    with start_run("s", project=project) as opened:
        following = threading.Thread(target=run, args=([*verb, "--html", str(file)],))
        following.start()
        for step in range(3000):
            opened.log_metric("loss", step, step)
            if file.exists() and "<figure>" in (text := file.read_text()):
                break
            time.sleep(0.01)
        assert '<meta http-equiv="refresh" content="0.01">' in text
    following.join(60)
    assert "refresh" not in file.read_text()
    assert "done" in file.read_text()
    assert run(verb) == 2
    assert "Add --html" in capsys.readouterr().err
