"""The directory of actors: one name, one id; rewritten without the ledger; and what the machine remembers costs no request."""

from __future__ import annotations

import threading

import msgspec
import obstore.store
import pytest

from mlopsfw.governance.actors import ROOT, Actors, is_actor
from mlopsfw.governance.identity import Identity
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import Corrupt, UnknownName, UsageError
from mlopsfw.kernel.workspace import Workspace
from mlopsfw_storage_object.local import LocalStorage
from mlopsfw_storage_object.remote import RemoteStorage
from mlopsfw_storage_object.retry import Retries


class Counting:
    """A storage that counts what it is asked."""

    def __init__(self, storage):
        self._storage, self.asked = storage, []

    def __getattr__(self, name):
        def asked(*args, **options):
            if name != "describe":
                self.asked.append((name, args[0]))
            return getattr(self._storage, name)(*args, **options)

        return asked


@pytest.fixture(params=["local", "remote"])
def storage(request, tmp_path):
    if request.param == "local":
        return LocalStorage(tmp_path / "store")
    return RemoteStorage(obstore.store.MemoryStore(), "memory:///", {}, Retries(attempts=1, budget=5.0))


@pytest.fixture
def actors(storage):
    return Actors(storage, SystemClock())


def identity(name, storage, machine):
    return Identity(name, storage, Actors(storage, SystemClock()), Workspace(machine))


def stored(storage):
    return {entry.key: storage.get(entry.key) for entry in storage.list(ROOT)}


# -- ids and names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["user:01hq5v3k8j0000000000000000", "token:deploy", "ci:github/acme/flights"])
def test_ids_are_ids(text):
    assert is_actor(text)


@pytest.mark.parametrize(
    "text", ["ada@here", "plugin:observer.acme", "user:ada", "user:", "ci:", "ci:../../ledger", "token:a b", "ci:a//b"]
)
def test_what_is_no_id_never_becomes_a_key_of_the_store(actors, storage, text):
    assert not is_actor(text)
    assert actors.names([text]) == {text: text}
    with pytest.raises(UnknownName):
        actors.rename(text, "Ada")
    with pytest.raises(UnknownName):
        actors.forget(text)
    assert stored(storage) == {}


def test_one_name_has_one_id_on_every_machine_and_two_names_have_two(actors, storage):
    ada = actors.join("ada@here")
    assert is_actor(ada)
    assert Actors(storage, SystemClock()).join("ada@here") == ada
    assert actors.join("eve@here") != ada
    assert actors.names([ada, "ada@old"]) == {ada: "ada@here", "ada@old": "ada@old"}


def test_machines_that_begin_with_one_name_at_once_agree_on_one_id(actors, storage):
    found, start = [], threading.Barrier(8)

    def join():
        start.wait()
        found.append(Actors(storage, SystemClock()).join("ci-runner"))

    threads = [threading.Thread(target=join) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert list(actors.all()) == [found[0]]  # who lost left no entry behind


# -- rewriting ---------------------------------------------------------------------------------------------------------


def test_a_new_name_shows_at_once_and_both_names_lead_to_the_id(actors):
    ada = actors.join("ada@here")
    key = actors.key(ada)
    actors.rename(ada, "Ada Lovelace")
    assert actors.names([ada]) == {ada: "Ada Lovelace"}
    assert actors.join("ada@here") == actors.join("Ada Lovelace") == ada
    assert actors.key(ada) == key


def test_two_actors_may_be_shown_as_one_name_which_goes_on_to_lead_to_the_first(actors):
    laptop, desktop = actors.join("ada@laptop"), actors.join("ada@desktop")
    actors.rename(laptop, "Ada")
    actors.rename(desktop, "Ada")
    assert set(actors.names([laptop, desktop]).values()) == {"Ada"}
    assert actors.join("Ada") == laptop


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201, "\x1b[31mred", "user:ada", "ci:x y"])
def test_a_name_is_one_line_and_no_id(actors, name):
    ada = actors.join("ada@here")
    with pytest.raises(UsageError):
        actors.rename(ada, name)
    assert actors.names([ada]) == {ada: "ada@here"}


def test_who_is_forgotten_has_neither_name_nor_key_and_no_name_leads_there(actors, storage):
    ada, eve = actors.join("ada@here"), actors.join("eve@here")
    actors.rename(ada, "Ada Lovelace")
    key = actors.key(ada)
    actors.forget(ada)
    entry = actors.get(ada)
    assert (entry.name, entry.key) == ("", b"")
    assert actors.names([ada, eve]) == {ada: ada, eve: "eve@here"}
    everything = b"".join([*stored(storage).values(), *map(str.encode, stored(storage))])
    for trace in (b"ada@here", b"Lovelace", msgspec.json.encode(key).strip(b'"')):
        assert trace not in everything
    assert actors.named() == {eve}
    assert actors.join("ada@here") not in {ada, eve}


def test_who_writes_again_after_that_has_another_key(actors):
    ada = actors.join("ada@here")
    old = actors.key(ada)
    actors.forget(ada)
    assert actors.key(ada) not in {old, b""}
    assert actors.names([ada]) == {ada: ada}


def test_a_person_that_nobody_knows_is_an_error_and_a_token_needs_no_entry(actors):
    with pytest.raises(UnknownName, match="audit actors"):
        actors.rename("user:01hq5v3k8j0000000000000000", "Ada")
    actors.rename("ci:github/acme/flights", "The nightly build")
    assert actors.names(["ci:github/acme/flights"]) == {"ci:github/acme/flights": "The nightly build"}
    assert set(actors.all()) == {"ci:github/acme/flights"}


def test_a_damaged_entry_is_named(actors, storage):
    ada = actors.join("ada@here")
    storage.put(f"{ROOT}{ada.replace(':', '/')}", b"{")
    with pytest.raises(Corrupt, match=ada):
        actors.names([ada])


# -- this machine ------------------------------------------------------------------------------------------------------


def test_the_first_act_costs_three_requests_and_every_other_process_one(storage, tmp_path):
    counted = Counting(storage)
    first = identity("ada@here", counted, tmp_path / "machine").find()
    assert [what for what, _ in counted.asked] == ["get", "put_if_absent", "put_if_absent"]
    counted.asked.clear()
    later = identity("ada@here", counted, tmp_path / "machine")
    assert (later.find(), later.find()) == (first, first)
    assert [what for what, _ in counted.asked] == ["get"]
    counted.asked.clear()
    assert identity("ada@here", counted, tmp_path / "another").find() == first
    assert [what for what, _ in counted.asked] == ["get"]


def test_an_id_is_taken_as_it_is_without_a_request(storage, tmp_path):
    counted = Counting(storage)
    assert identity("ci:github/acme/flights", counted, tmp_path).find() == "ci:github/acme/flights"
    assert counted.asked == []


@pytest.mark.parametrize("name", ["plugin:observer.acme", "user:ada", "ci:", "a\nb"])
def test_a_name_that_is_none_is_refused_before_anything_is_written(storage, tmp_path, name):
    with pytest.raises(UsageError):
        identity(name, storage, tmp_path).find()
    assert stored(storage) == {}


def test_another_name_and_another_store_are_remembered_beside(storage, tmp_path):
    other = LocalStorage(tmp_path / "other")
    found = [identity(name, place, tmp_path).find() for name in ("ada", "eve") for place in (storage, other)]
    assert len(set(found)) == 4
    assert [identity(name, place, tmp_path).find() for name in ("ada", "eve") for place in (storage, other)] == found


def test_a_damaged_memory_is_made_anew(storage, tmp_path):
    ada = identity("ada", storage, tmp_path).find()
    (tmp_path / ".mlopsfw" / "actor").write_bytes(b"{")
    assert identity("ada", storage, tmp_path).find() == ada


def test_what_the_machine_drops_it_does_not_act_as_again(storage, tmp_path):
    who = identity("ada", storage, tmp_path)
    ada, eve = who.find(), identity("eve", storage, tmp_path).find()
    Actors(storage, SystemClock()).forget(ada)
    who.drop(ada)
    assert who.find() != ada
    assert identity("eve", storage, tmp_path).find() == eve
    assert ada not in (tmp_path / ".mlopsfw" / "actor").read_text()


def test_another_machine_no_longer_acts_as_who_was_forgotten(storage, tmp_path):
    old = identity("ada", storage, tmp_path / "here").find()
    assert identity("ada", storage, tmp_path / "there").find() == old
    Actors(storage, SystemClock()).forget(old)
    assert identity("ada", storage, tmp_path / "there").find() != old


def test_who_is_forgotten_is_remembered_for_no_store(storage, tmp_path):
    """A project that was moved has another store's name by it, and the same actor."""
    actor = identity("ada", storage, tmp_path).find()
    file = Workspace(tmp_path).state / "actor"
    known = msgspec.json.decode(file.read_bytes())
    file.write_bytes(msgspec.json.encode({**known, "file:///before": next(iter(known.values()))}))
    identity("ada", storage, tmp_path).drop(actor)
    assert b"ada" not in file.read_bytes()


def test_who_acts_is_known_although_another_process_writes_in_between(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(Identity, "_remember", lambda *_: None)
    assert identity("ada", storage, tmp_path).find().startswith("user:")
