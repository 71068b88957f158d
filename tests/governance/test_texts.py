"""What people write: read back as written, nowhere in clear, bound to its author, and gone with the author's key."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsfw.governance.actors import Actors
from mlopsfw.governance.texts import ERASED, UNREADABLE, Texts, is_reference
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import Conflict
from mlopsfw.kernel.events.record import EventRecord, PlainRecord, Text
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger
from mlopsfw.kernel.store import tombstones
from mlopsfw.kernel.store.blobs import BlobStore, key_of
from mlopsfw.kernel.store.keyring import Keyring
from mlopsfw.kernel.store.vault import Vault
from mlopsfw_storage_object.local import LocalStorage

WORDS = "looked at by Ada, é ☃"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    by: str
    words: Text = msgspec.field(default="", name="says")


class Discussed(EventRecord, frozen=True, kw_only=True):
    type = "acme.discussed"
    title: str = ""
    comment: Text = ""
    notes: tuple[Note, ...] = ()
    answers: dict[str, list[Text]] = msgspec.field(default_factory=dict)


def blob_of(reference):
    """Return the digest of the blob that a reference leads to."""
    return reference.rpartition("/")[2]


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path / "store")


@pytest.fixture
def actors(storage):
    return Actors(storage, SystemClock())


@pytest.fixture
def write(storage, actors, tmp_path):
    def of(name, *, key=None):
        vault = None if key is None else Vault(Keyring(storage, lambda: [key]))
        blobs = BlobStore(storage, tmp_path / "scratch", SystemClock(), vault)
        return Texts(blobs, actors, EventTypes([Discussed]), lambda: actors.join(name))

    return of


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_is_put_comes_back(write, text):
    texts = write("ada")
    reference = texts.put(text)
    assert is_reference(reference)
    assert texts.get(reference) == text


def test_no_word_lies_in_clear_and_the_reference_names_author_and_blob(write, storage, actors):
    reference = write("ada").put(WORDS)
    assert reference == f"text:{actors.join('ada')}/{blob_of(reference)}"
    stored = [storage.get(entry.key) for entry in storage.list()]
    assert storage.get(key_of(blob_of(reference))) in stored
    assert not [data for data in stored if b"looked at" in data]


def test_equal_words_have_different_blobs_from_one_command_to_the_next(write):
    assert blob_of(write("ada").put("ok")) != blob_of(write("ada").put("ok"))


@pytest.mark.parametrize("text", ["", "fine", "text:", "text:ada/12", "text:user:01hq5v3k8j0000000000000000/12"])
def test_what_is_no_reference_is_shown_as_it_is(write, text):
    assert write("ada").get(text) == text
    assert not is_reference(text)


def test_nothing_is_kept_of_nothing_and_a_reference_is_kept_once(write):
    texts = write("ada")
    assert texts.put("") == ""
    reference = texts.put(WORDS)
    assert texts.put(reference) == reference


def test_the_words_of_many_authors_are_read_at_once_by_anybody(write):
    references = {name: write(name).put(f"by {name}") for name in ("ada", "eve", "ci")}
    read = write("max").read([*references.values(), "plain"])
    assert read == {"plain": "plain", **{reference: f"by {name}" for name, reference in references.items()}}


def test_the_words_of_who_is_forgotten_are_erased_and_nobody_elses(write, actors, storage):
    ada, eve = write("ada").put(WORDS), write("eve").put(WORDS)
    copies = {entry.key: storage.get(entry.key) for entry in storage.list("objects/")}
    actors.forget(actors.join("ada"))
    assert write("max").read([ada, eve]) == {ada: ERASED, eve: WORDS}
    assert {entry.key: storage.get(entry.key) for entry in storage.list("objects/")} == copies


def test_a_key_made_after_that_opens_none_of_the_old_words(write, actors):
    reference = write("ada").put(WORDS)
    ada = actors.join("ada")
    actors.forget(ada)
    actors.key(ada)
    assert write("max").get(reference) == ERASED


def test_a_process_that_holds_the_key_when_its_author_is_forgotten_leaves_nothing_readable(write, actors):
    texts = write("ada")
    texts.put("before")
    actors.forget(actors.join("ada"))
    assert write("max").get(texts.put("after")) == ERASED


def test_words_cannot_be_passed_off_as_another_authors(write, actors):
    reference = write("ada").put(WORDS)
    write("eve").put("mine")
    assert write("max").get(reference.replace(actors.join("ada"), actors.join("eve"))) == ERASED


def test_with_encryption_at_rest_words_need_both_keys(write, storage, actors):
    reference = write("ada", key=b"k" * 32).put(WORDS)
    assert write("max", key=b"k" * 32).get(reference) == WORDS
    assert write("max").get(reference) == UNREADABLE
    actors.forget(actors.join("ada"))
    assert write("max", key=b"k" * 32).get(reference) == ERASED


@pytest.mark.parametrize("how", ["lost", "damaged", "another blob"])
def test_words_that_are_lost_end_no_listing(write, storage, how, tmp_path):
    texts = write("ada")
    reference, kept = texts.put(WORDS), texts.put("kept")
    blobs = BlobStore(storage, tmp_path / "other", SystemClock())
    if how == "lost":
        storage.delete(key_of(blob_of(reference)))
    elif how == "damaged":
        storage.put(key_of(blob_of(reference)), b"x" * 80)
    else:
        reference = reference.replace(blob_of(reference), blobs.put(b"not words"))
    assert texts.read([reference, kept]) == {reference: UNREADABLE, kept: "kept"}


def test_words_whose_blob_was_erased_on_request_are_erased(write, storage):
    texts = write("ada")
    reference = texts.put(WORDS)
    tombstones.bury(storage, blob_of(reference), tombstones.Tombstone(erasure="1"))
    storage.delete(key_of(blob_of(reference)))
    assert texts.get(reference) == ERASED


# -- in events ---------------------------------------------------------------------------------------------------------


def test_words_are_sealed_wherever_they_lie_and_nothing_else_is(write):
    texts = write("ada")
    record = Discussed(title="t", comment="c", notes=(Note(by="b", words="w"), Note(by="b")), answers={"x": ["y", ""]})
    sealed = texts.seal(record)
    assert (sealed["title"], sealed["notes"][0]["by"], sealed["notes"][1]["says"]) == ("t", "b", "")
    found = [sealed["comment"], sealed["notes"][0]["says"], *sealed["answers"]["x"]]
    assert [texts.get(text) for text in found] == ["c", "w", "y", ""]
    assert all(map(is_reference, found[:3]))
    assert texts.seal(PlainRecord("acme.discussed", sealed)) == sealed


@pytest.mark.parametrize("body", [{}, {"comment": None, "notes": 3}, {"notes": [{"by": "x"}, 4], "answers": ["a"]}])
def test_a_body_of_another_shape_has_no_words_to_seal(write, body):
    assert write("ada").seal(PlainRecord("acme.discussed", body)) == body
    assert write("ada").seal(PlainRecord("acme.other", {"comment": "c"})) == {"comment": "c"}


def test_an_append_that_loses_races_stores_its_words_once(write, storage):
    texts = write("ada")
    ledger = Ledger(storage, actor=lambda: "ada", clock=SystemClock(), types=EventTypes([Discussed]), seal=texts.seal)
    other = Ledger(storage, actor=lambda: "eve", clock=SystemClock(), types=EventTypes()).stream("run/a")
    tries = []

    def race():
        events = list(ledger.stream("run/a").events())
        if len(tries) < 3:
            other.append(PlainRecord("a.b", {}))
        tries.append(len(events))
        return ledger.stream("run/a").append(Discussed(comment="hello"), expecting=len(events))

    for _ in range(3):
        with pytest.raises(Conflict):
            race()
    event = race()
    assert (len(tries), event.seq, texts.get(event.body["comment"])) == (4, 4, "hello")
    assert len(list(storage.list("objects/"))) == 1
    assert not [entry for entry in storage.list() if b"hello" in storage.get(entry.key)]
