"""People of a project: shown by name, renamed and forgotten without a byte of the ledger changing."""

from __future__ import annotations

import msgspec
import pytest

from mlopsfw.kernel.base.errors import StorageUnavailable, UnknownName, UsageError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.operations.audit import audit
from mlopsfw.project.facade import Project


@pytest.fixture
def as_person(project, monkeypatch):
    """Open the project as somebody, on a machine that knows nobody yet."""

    def open_as(name):
        monkeypatch.setenv("MLOPSFW_ACTOR", name)
        return Project.open(project.root)

    return open_as


class Note(msgspec.Struct, frozen=True):
    by: str
    words: str = ""
    inner: tuple = ()


def ledger_bytes(project):
    return {entry.key: project.storage.get(entry.key) for entry in project.storage.list("ledger/")}


def test_an_event_holds_an_id_and_no_name(as_person):
    ada = as_person("Ada of the 3rd floor")
    event = ada.ledger.stream("run/a").append(PlainRecord("a.b", {}))
    assert event.actor == ada.actor
    assert event.actor.startswith("user:")
    assert not [data for data in ledger_bytes(ada).values() if b"Ada" in data]
    assert ada.people.show(event).actor == "Ada of the 3rd floor"


def test_who_only_reads_is_in_no_directory(as_person):
    as_person("ada").ledger.stream("run/a").append(PlainRecord("a.b", {}))
    eve = as_person("eve")
    assert len(list(eve.ledger.stream("run/a").events())) == 1
    assert eve.services.project == "testproject"
    assert [person.name for person in eve.people.everyone()] == ["ada"]


def test_actors_and_words_are_shown_wherever_they_lie_and_only_as_a_whole(as_person):
    ada = as_person("ada")
    words = ada.texts.put("hello")
    value = {"a": [Note(by=ada.actor, words=words, inner=(ada.actor, 1))], "b": f"by {ada.actor}", "old": "eve@here"}
    shown = ada.people.show(value)
    assert shown == {"a": [Note(by="ada", words="hello", inner=("ada", 1))], "b": f"by {ada.actor}", "old": "eve@here"}
    assert value["a"][0].by == ada.actor


def test_what_holds_no_actor_is_shown_without_a_request(as_person, monkeypatch):
    ada = as_person("ada")
    people, value = ada.people, {"a": [1, "user@host", None, 2.5]}
    monkeypatch.setattr(ada.storage, "get", lambda *_, **__: pytest.fail("asked"))
    assert people.show(value) is value


def test_forgetting_changes_no_byte_of_what_is_in_the_ledger_and_the_audit_passes(as_person):
    ada = as_person("ada")
    event = ada.ledger.stream("run/a").append(PlainRecord("a.b", {"why": ada.texts.put("hello")}))
    before = ledger_bytes(ada)
    as_person("eve").people.forget(ada.actor)
    after = ledger_bytes(ada)
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {"ledger/privacy/actors/0000000001.json"}
    assert [found.problems for found in audit(ada.storage)] == [[], []]
    shown = ada.people.show(event)
    assert (shown.actor, shown.body) == (ada.actor, {"why": "(erased)"})
    assert next((person.actor, person.name, person.forgotten) for person in ada.people.everyone()) == (
        ada.actor,
        "",
        True,
    )


def test_who_was_forgotten_acts_under_another_id_on_this_machine(as_person):
    old = as_person("ada").actor
    as_person("ada").people.forget(old)
    assert as_person("ada").actor != old


def test_who_was_forgotten_gets_no_name_again(as_person):
    ada = as_person("ada")
    ada.people.forget(ada.actor)
    with pytest.raises(UsageError, match="was forgotten"):
        ada.people.rename(ada.actor, "Ada")
    assert ada.actors.get(ada.actor).name == ""


def test_a_new_name_given_while_its_owner_is_forgotten_is_taken_back(as_person, monkeypatch):
    ada, eve = as_person("ada"), as_person("eve")
    rename = eve.actors.rename

    def forgotten_first(actor, name):
        ada.people.forget(actor)
        rename(actor, name)

    monkeypatch.setattr(eve.actors, "rename", forgotten_first)
    with pytest.raises(UsageError, match="was forgotten"):
        eve.people.rename(ada.actor, "Ada Lovelace")
    assert ada.people.restored() == []
    assert ada.actors.get(ada.actor).name == ""


def test_forgetting_twice_is_recorded_once(as_person):
    ada = as_person("ada")
    ada.people.forget(ada.actor)
    ada.people.forget(ada.actor)
    assert ada.ledger.stream("privacy/actors").head() == 1


@pytest.mark.parametrize("actor", ["user:01hq5v3k8j0000000000000000", "ada@here", "plugin:observer.acme", ""])
def test_who_is_in_no_directory_is_an_error_and_nothing_is_recorded(project, actor):
    for change in (project.people.forget, lambda actor: project.people.rename(actor, "Ada")):
        with pytest.raises(UnknownName):
            change(actor)
    assert project.ledger.stream("privacy/actors").head() == 0


def complaints(project):
    return [found.hint for found in project.doctor.examine() if found.check == "actors" and found.level == "error"]


def test_a_call_that_was_cut_short_is_named_by_doctor_and_finished_by_the_next(as_person, monkeypatch):
    ada = as_person("ada")
    actor, put = ada.actor, ada.storage.put

    def fail(key, data):
        raise StorageUnavailable("gone")

    monkeypatch.setattr(ada.storage, "put", fail)
    with pytest.raises(StorageUnavailable):
        ada.people.forget(actor)
    monkeypatch.setattr(ada.storage, "put", put)
    assert complaints(ada) == [f"Run `mlopsfw audit forget {actor}` again."]
    ada.people.forget(actor)
    assert complaints(ada) == []


def test_an_entry_that_came_back_from_a_copy_is_named_by_doctor(as_person):
    ada = as_person("ada")
    actor = ada.actor
    copy = {entry.key: ada.storage.get(entry.key) for entry in ada.storage.list("actors/")}
    ada.people.forget(actor)
    assert complaints(ada) == []
    for key, data in copy.items():
        ada.storage.put(key, data)
        assert complaints(ada) == [f"Run `mlopsfw audit forget {actor}` again."]
        ada.people.forget(actor)
