"""What people type (messages, reasons, comments): shown wherever it was before, nowhere in the ledger, and erasable."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256

import pytest

from mlopsfw.cli import run
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger
from mlopsfw.operations.gc import collect
from mlopsfw.project.facade import Project

WORDS = {
    "add": "said at data add",
    "restore": "said at data restore",
    "tag": "said at data tag",
    "settle": "said at data quarantine",
    "register": "said at register",
    "approve": "said at models approve",
    "promote": "said at models promote",
    "rollback": "said at models rollback",
}


@pytest.fixture
def verb(project, capsys, monkeypatch):
    """Run a verb as ada; return its output."""
    monkeypatch.setenv("MLOPSFW_ACTOR", "ada")

    def call(*words):
        capsys.readouterr()
        code = run(["--project", str(project.root), *map(str, words)])
        out, err = capsys.readouterr()
        assert code == 0, out + err
        return json.loads(out) if "--json" in words else out

    return call


@pytest.fixture
def spoken(project, verb):
    """A project in which everything that can be said was said, by ada."""
    rows = project.root / "rows.csv"
    rows.write_text("id,name\n1,a\n")
    verb("data", "add", "people", rows, "-m", WORDS["add"])
    rows.write_text("id,name\n1,a\n2,b\n")
    verb("data", "add", "people", rows)
    verb("data", "restore", "people", 1, "-m", WORDS["restore"])
    verb("data", "tag", "people@1", "good", "-m", WORDS["tag"])
    rows.write_text("id,name\n1,a\n2,b,c,d\n")
    verb("data", "add", "bad", rows, "--max-bad", 0.9)
    verb("data", "quarantine", "bad", "--settle", 1, "-m", WORDS["settle"])
    with Project.open(project.root) as ada:
        for n in range(2):
            bundle = ada.blobs.put(b"{}" + b" " * n)
            ada.registry.register("delay", bundle, message=WORDS["register"], code={}, environment="")
    verb("models", "approve", "delay", 1, "-m", WORDS["approve"])
    verb("models", "promote", "delay", 1, "--reason", WORDS["promote"])
    verb("models", "promote", "delay", 2)
    verb("models", "rollback", "delay", "--reason", WORDS["rollback"])
    return project


SHOWN = [
    ("data log people", ["add", "restore"]),
    ("data show people@1", ["add"]),
    ("data list", ["restore"]),
    ("models show delay", ["register", "approve", "promote", "rollback"]),
    ("models card delay", ["register", "approve"]),
    ("audit show dataset/people", ["add", "restore", "tag"]),
    ("audit show dataset/bad", ["settle"]),
    ("audit show model/delay", ["register", "approve", "promote", "rollback"]),
]


def test_words_are_shown_and_after_their_author_is_forgotten_they_are_erased_everywhere(spoken, verb):
    ledger = {entry.key: spoken.storage.get(entry.key) for entry in spoken.storage.list("ledger/")}
    stored = [spoken.storage.get(entry.key) for entry in spoken.storage.list()]
    assert not [data for data in stored if b"said at" in data]
    for line, places in SHOWN:
        shown = verb(*line.split())
        assert [place for place in places if WORDS[place] not in shown] == [], line
        assert "text:" not in shown, line
    (ada,) = [person["actor"] for person in verb("audit", "actors", "--json")]
    verb("audit", "forget", ada, "--yes")
    for line, places in SHOWN:
        shown = verb(*line.split())
        assert "said at" not in shown, line
        assert shown.count("(erased)") + shown.count("\\(erased\\)") >= len(places), line
    assert all(spoken.storage.get(key) == data for key, data in ledger.items())
    assert "0 problems" in verb("audit", "verify")
    assert "error" not in verb("doctor")


@pytest.mark.parametrize(
    ("line", "key"),
    [("data log people", "message"), ("data show people@1", "message"), ("models show delay", "reason")],
)
def test_json_has_the_words_too(spoken, verb, line, key):
    assert f'"{key}": "said at' in json.dumps(verb(*line.split(), "--json"))


def test_gc_keeps_words_that_an_event_refers_to_and_doctor_misses_those_that_are_lost(spoken, verb, monkeypatch):
    done = collect(spoken.storage, spoken.ledger, grace=0)
    assert WORDS["add"] in verb("data", "log", "people")
    assert WORDS["approve"] in verb("models", "show", "delay")
    (event, *_) = spoken.ledger.stream("dataset/people").events()
    digest = event.body["message"].rpartition("/")[2]
    assert digest not in done.deleted
    spoken.storage.delete(f"objects/{digest[:2]}/{digest}")
    missed = [found.message for found in spoken.doctor.examine() if found.level == "error"]
    assert any(digest in message for message in missed)
    assert "(unreadable)" in verb("data", "log", "people")


def test_words_in_clear_of_an_older_ledger_are_shown_as_they_are(project, verb):
    bundle = project.blobs.put(b"{}")
    old = Ledger(project.storage, actor=lambda: "eve@here", clock=SystemClock(), types=EventTypes())
    facts = {"version": 1, "bundle": bundle, "message": "an old message"}
    old.stream("model/delay").append(PlainRecord("version.registered", facts))
    old.stream("model/delay").append(PlainRecord("version.approved", {"version": 1, "comment": "an old comment"}))
    shown = verb("models", "show", "delay@1")
    for text in ("an old message", "an old comment", "eve@here"):
        assert text in shown


def test_an_export_carries_words_and_names(spoken, verb, tmp_path, make_project, capsys):
    verb("export", tmp_path / "copy")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlopsfw.toml").write_text('[project]\nname = "other"\n')
    assert run(["--project", str(other), "import", str(tmp_path / "copy")]) == 0
    capsys.readouterr()
    assert run(["--project", str(other), "data", "log", "people"]) == 0
    out = capsys.readouterr().out
    assert WORDS["add"] in out
    assert "ada" in out


# -- what it costs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def requests(project, monkeypatch):
    """Count what a piece of work asks of the store."""
    counts = Counter()
    for name in ("get", "put", "put_if_absent", "list", "delete"):
        plain = getattr(project.storage, name)

        def counted(*args, plain=plain, name=name, **options):
            counts[name] += 1
            return plain(*args, **options)

        monkeypatch.setattr(project.storage, name, counted)

    def during(work):
        counts.clear()
        work()
        return counts.total()

    return during


def test_words_cost_an_append_a_few_requests_and_a_fold_none(project, requests):
    registry = project.registry
    registry.register("delay", project.blobs.put(b"{}"), code={}, environment="")
    without = requests(lambda: registry.approve("delay", 1))
    first = requests(lambda: registry.approve("delay", 1, "looks good"))
    later = requests(lambda: registry.approve("delay", 1, "looks fine"))
    assert first <= without + 4  # the author's key, and the blob
    assert later <= without + 3
    for n in range(30):
        registry.approve("delay", 1, sha256(b"%d" % n).hexdigest())
    assert len(registry.model("delay").number(1).approvals) == 33
    assert requests(lambda: registry.model("delay")) <= 3
