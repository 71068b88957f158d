"""Who acted, as a user sees it: names in every listing, and `audit actors|rename|forget`."""

from __future__ import annotations

import io
import json
import re

import pytest

from mlopsfw.cli import run
from mlopsfw.project.facade import Project

ID = r"user:[0-9a-z]{26}"


@pytest.fixture
def verb(project, capsys, monkeypatch):
    """Run a verb as somebody; return its exit code, output and errors."""

    def call(*words, as_="ada", exits=0):
        monkeypatch.setenv("MLOPSFW_ACTOR", as_)
        capsys.readouterr()
        code = run(["--project", str(project.root), *map(str, words)])
        out, err = capsys.readouterr()
        assert code == exits, out + err
        return json.loads(out) if "--json" in words else out + err

    return call


@pytest.fixture
def acted(project, verb):
    """A project in which ada added data and ran a step, and eve approved and promoted."""
    (project.root / "x.csv").write_text("id,name\n1,a\n")
    (project.root / "one.py").write_text("def run():\n    return 1\n")
    with (project.root / "mlopsfw.toml").open("a") as file:
        file.write('[steps.one]\npython = "one:run"\n')
    verb("data", "add", "people", project.root / "x.csv", "-m", "begin")
    verb("run")
    with Project.open(project.root) as ada:
        ada.registry.register("delay", ada.blobs.put(b"{}"), message="first", code={}, environment="")
        alert = ada.alerts.raise_("drift/delay", "warning", "shifted", "by a lot").id
    verb("models", "approve", "delay", 1, "-m", "looks good", as_="eve")
    verb("models", "promote", "delay", 1, "--reason", "it is better", as_="eve")
    verb("alerts", "ack", alert, as_="eve")
    return project


SHOWN = [
    ("data list", "ada"),
    ("data log people", "ada"),
    ("data show people", "ada"),
    ("runs list", "ada"),
    ("runs show latest", "ada"),
    ("status", "ada"),
    ("models list", "eve"),
    ("models show delay", "eve"),
    ("audit show model/delay", "eve"),
    ("audit show dataset/people", "ada"),
    ("alerts list", "eve"),
    ("index query", "ada"),
    ("audit actors", "eve"),
]


def words_of(line):
    return [*line.split(), *(["SELECT actor FROM runs"] if line == "index query" else [])]


@pytest.mark.parametrize("form", ["text", "json"])
def test_every_listing_shows_names_and_no_ids_until_they_are_forgotten(acted, verb, form):
    """One project for all: what was renamed and forgotten shows everywhere at once."""
    flags = ["--json"] if form == "json" else []

    def listed():
        for line, name in SHOWN:
            shown = verb(*words_of(line), *flags)
            yield line, name, json.dumps(shown) if flags else shown

    no_actor_in_text = {"runs list", "alerts list"}
    for line, name, shown in listed():
        assert name in shown or line in no_actor_in_text, line
        if not line.startswith("audit"):
            assert not re.search(ID, shown), line
    card = verb("models", "card", "delay")
    assert "by ada" in card
    assert "eve" in card
    people = {person["name"]: person["actor"] for person in verb("audit", "actors", "--json")}
    verb("audit", "rename", people["ada"], "Lovelace")
    verb("audit", "forget", people["eve"], "--yes")
    for line, name, shown in listed():
        gone = {"ada": r"\bada\b", "eve": r"\beve\b"}[name]
        assert not re.search(gone, shown), line
        if line not in no_actor_in_text or flags:
            assert {"ada": "Lovelace", "eve": people["eve"]}[name] in shown, line
    assert "0 problems" in verb("audit", "verify")


def test_audit_show_tells_the_id_too(acted, verb):
    (first, *_) = verb("audit", "show", "dataset/people", "--json")
    assert (first["actor"], bool(re.fullmatch(ID, first["actor_id"]))) == ("ada", True)


def test_an_id_in_the_environment_is_taken_as_it_is(project, verb):
    (project.root / "x.csv").write_text("id\n1\n")
    verb("data", "add", "people", project.root / "x.csv", as_="ci:github/acme/flights")
    (event,) = verb("audit", "show", "dataset/people", "--json")
    assert event["actor"] == event["actor_id"] == "ci:github/acme/flights"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("rename", "user:01hq5v3k8j0000000000000000", "Ada"), "there is no actor"),
        (("forget", "ada@here", "--yes"), "there is no actor"),
        (("forget", "plugin:observer.acme", "--yes"), "there is no actor"),
    ],
)
def test_an_unknown_actor_is_a_usage_error_that_says_where_the_known_are(project, verb, words, says):
    said = verb("audit", *words, exits=2)
    assert says in said
    assert "mlopsfw audit actors" in said


def test_forget_asks_first(acted, verb, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    (ada,) = [person["actor"] for person in verb("audit", "actors", "--json") if person["name"] == "ada"]
    assert "Forget ada for good?" in verb("audit", "forget", ada, exits=130)
    assert "ada" in verb("audit", "actors")
