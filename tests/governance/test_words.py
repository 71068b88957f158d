"""What code said is free text like what a person wrote: in no event in clear, found by the subject's value, gone with its author's key."""

from __future__ import annotations

import polars as pl
import pytest

from mlopsfw.governance.subject import Subject
from mlopsfw.operations.audit import audit
from mlopsfw.pipeline.run.step_events import StepFailed
from mlopsfw.serving.events import EndpointFailed

CANARY = "Alice Smith"
KEY = "cd" * 32
TOML = """
[privacy]
key = "env:PII"
[steps.total]
python = "steps:total"
inputs = { people = "data:/people" }
"""
STEPS = "def total(people): return float(people.collect()['name'][0])\n"


@pytest.fixture
def failed(bench, monkeypatch):
    """A project in which a step failed with a row's value in its message."""

    def make(toml=TOML):
        monkeypatch.setenv("PII", KEY)
        bench.write(toml, steps=STEPS)
        with bench.open() as project:
            project.datasets.commit("people", pl.DataFrame({"name": [CANARY, "Bob Jones"]}), "replace")
        outcome = bench.run()
        assert f"could not convert string to float: '{CANARY}'" in outcome.failure.message
        return bench.open()

    return make


def status(project):
    return project.runs.get("latest").steps["total"].failure


def erase(project, **options):
    return project.erasures.forget("people", Subject("name", CANARY, bytes.fromhex(KEY)), **options)


def in_clear(project, *below):
    """Return the files of the project's state in which the value stands as bytes."""
    files = project.workspace.state.joinpath(*below).rglob("*")
    return [file for file in files if file.is_file() and CANARY.encode() in file.read_bytes()]


def whole(project):
    return not [problem for stream in audit(project.storage) for problem in stream.problems]


def test_the_message_of_a_failed_step_is_read_by_people_and_lies_in_no_event_and_no_index(failed):
    project = failed()
    assert status(project).startswith(f"ValueError: could not convert string to float: '{CANARY}'")
    (row,) = project.index.query("SELECT failure, message FROM steps")
    assert row["failure"] == "ValueError"
    assert project.people.show(row)["message"].startswith("could not convert string to float")
    assert not in_clear(project, "store", "ledger")
    assert not [file for file in in_clear(project) if file.name.startswith("index")]


def test_in_an_encrypted_store_no_file_has_the_message_in_clear(failed, monkeypatch):
    monkeypatch.setenv("STORE", "ab" * 32)
    project = failed(f'[storage]\nencrypt = ["env:STORE"]\ntables = "encrypted-disk"\n{TOML}')
    assert CANARY in status(project)
    assert not in_clear(project, "store", "objects")
    assert not in_clear(project, "store", "ledger")


def test_an_erasure_of_the_subject_finds_the_message_first_and_erases_it_with_the_chain_whole(failed):
    project = failed()
    assert erase(project, dry_run=True).held["messages"] == 1
    assert CANARY in status(project)
    done = erase(project)
    assert (done.held["messages"], done.remaining) == (1, [])
    assert status(project) == "ValueError: (erased)"
    assert not in_clear(project)
    assert whole(project)
    assert erase(project).held["messages"] == 0


def test_a_message_goes_with_its_authors_key_and_the_chain_stays_whole(failed):
    project = failed()
    project.people.forget(project.actor)
    assert status(project) == "ValueError: (erased)"
    assert whole(project)


def test_an_erasure_finds_what_alerts_endpoints_and_versions_say_of_the_subject(project):
    project.datasets.commit("people", pl.DataFrame({"name": [CANARY]}), "replace", message=f"for {CANARY}")
    project.alerts.raise_("people", "info", "A new name", f"It is {CANARY}.")
    project.ledger.stream("endpoint/people").append(EndpointFailed(revision=1, reason=f"unknown: {CANARY}"))
    held = erase(project, also=["endpoints:/people"]).held
    assert held["messages"] == 3
    (state,) = project.alerts.outbox().alerts.values()
    assert (state.alert.title, state.alert.text) == ("A new name", "(erased)")


def test_the_message_that_an_earlier_release_left_in_clear_is_shown_as_it_is(project):
    stream = project.ledger.stream("run/01hq5v3k8j0000000000000000")
    failed = StepFailed(step="total", attempt=1, error="ValueError", message="no total")
    (event,) = project.texts.clear([stream.append(failed)])
    assert StepFailed.of(event) == failed
    assert project.texts.clear([event]) == [event]
