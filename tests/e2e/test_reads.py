"""What questions cost the store: with a warm index, one listing and what has changed, however many runs there are."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from click.testing import CliRunner

from mlopsfw.cli.root import cli
from mlopsfw.kernel.base.ids import new_run_id
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw_storage_object.local import LocalStorage

QUESTIONS = [
    ("lineage", "data:/people@1"),
    ("lineage", "models:/delay@1"),
    ("data", "vacuum", "people", "--keep", "1", "--dry-run"),
    ("data", "forget", "people", "--key", "customer=ada", "--dry-run"),
    ("run", "--plan"),
    ("why", "a"),
    ("runs", "list"),
    ("models", "list"),
    ("data", "list"),
    ("data", "log", "people"),
    ("alerts", "list"),
]
LISTINGS, READS = 4, 12
"""What any question may cost beside its pages and what has changed."""
PAGE = 1000


@pytest.fixture
def calls(monkeypatch):
    """Counts what is asked of the store."""
    counted = Counter()
    listed, read = LocalStorage.list, LocalStorage.get

    def counting_list(self, prefix="", **more):
        counted["listings"] += 1
        for entry in listed(self, prefix, **more):
            counted["entries"] += 1
            yield entry

    def counting_get(self, key, **part):
        counted["reads"] += 1
        return read(self, key, **part)

    monkeypatch.setattr(LocalStorage, "list", counting_list)
    monkeypatch.setattr(LocalStorage, "get", counting_get)
    return counted


def runs(project, count):
    for _ in range(count):
        stream = project.ledger.stream(f"run/{new_run_id()}")
        stream.append(PlainRecord("run.started", {"pipeline": "p", "steps": [], "wiring": {}}), expecting=0)
        stream.seal(PlainRecord("run.finished", {"status": "done", "exit_code": 0, "seconds": 1.0}))


def answer(project, words):
    done = CliRunner().invoke(cli, ["--project", str(project.root), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    "count", [10, 100, pytest.param(1000, marks=pytest.mark.nightly), pytest.param(10_000, marks=pytest.mark.nightly)]
)
def test_a_question_lists_the_store_once_and_reads_what_has_changed(make_project, calls, monkeypatch, count):
    monkeypatch.setenv("KEY", "ab" * 32)
    project = make_project(
        '[steps.a]\npython = "made:a"\n[privacy]\nkey = "env:KEY"\n', made="def a():\n    return 1\n"
    )
    for version in range(5):
        project.datasets.commit("people", pl.DataFrame({"customer": ["ada", "bo"], "v": [version, version]}), "replace")
    for version in range(1, 41):
        body = {"version": version, "bundle": f"{version:064x}", "datasets": ["data:/people@1"]}
        project.ledger.stream("model/delay").append(PlainRecord("version.registered", body))
    runs(project, count)
    answer(project, ("index", "status"))
    changed = 3
    costs = {}
    for words in QUESTIONS:
        runs(project, changed)
        calls.clear()
        assert answer(project, words)
        costs[words] = (calls["listings"] + calls["entries"] // PAGE, calls["reads"])
    pages, reads = LISTINGS + (count + 100) // PAGE, READS + 3 * changed
    assert {words: cost for words, cost in costs.items() if cost[0] > pages or cost[1] > reads} == {}
