"""Event types: what a record says of its fields, and what is done with a type that is not installed."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgspec
import pytest

from mlopsfw.kernel.events.record import Blob, BundleBlob, EventRecord, Text, WordsBlob
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.event import Event

A, B, C, D, E = (letter * 64 for letter in "abcde")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    old: str
    new: Blob = msgspec.field(default="", name="new_blob")


class Origin(TypedDict, total=False):
    how: str
    index: Blob


class Scored(EventRecord, frozen=True, kw_only=True):
    type = "acme.scored"
    digest: str
    table: Blob = ""
    log: WordsBlob = ""
    model: BundleBlob | None = None
    outputs: dict[str, Artifact] = {}
    changes: tuple[Change, ...] = ()
    nested: dict[str, list[Annotated[str, "unmarked"]]] = {}
    origin: Origin = {}
    facts: dict[str, Any] = {}
    comment: Text = ""


def event(body):
    return Event(stream="plugin/acme", seq=1, id="1", type="acme.scored", time="", actor="ada", body=body)


RECORD = Scored(
    digest=E,
    table=A,
    log=B,
    model=C,
    outputs={"rows": Artifact(kind="table", digest=E, blob=D), "none": Artifact(kind="json", digest=E)},
    changes=(Change(old=E, new=A),),
    nested={"x": [E]},
    origin={"how": E, "index": B},
    facts={"blob": E, "logs": E},
    comment="text:user:1/9",
)


def test_blobs_are_the_marked_fields_wherever_they_lie_and_no_others():
    found = list(EventTypes([Scored]).blobs(event(RECORD.body())))
    assert sorted(found) == [(A, ""), (A, ""), (B, ""), (B, "text"), (C, "bundle"), (D, "table")]


@pytest.mark.parametrize("types", [[Scored], []])
def test_the_blob_of_a_persons_words_is_one_of_the_blobs_whether_the_type_is_installed_or_not(types):
    found = [blob.digest for blob in EventTypes(types).blobs(event({"comment": f"text:user:1/{A}"}))]
    assert found == [A]
    for plain in ("", "fine", f"see {A}", f"text:user:1/{A}\n", "text:user:1/9"):
        assert list(EventTypes(types).blobs(event({"comment": plain}))) == []


def test_a_type_says_where_words_of_people_lie():
    assert EventTypes([Scored]).text_paths("acme.scored") == [("comment",)]
    assert EventTypes([Scored]).text_paths("acme.other") == []


def test_a_type_that_is_not_installed_is_scanned_for_digests():
    found = {blob.digest for blob in EventTypes().blobs(event({"a": [{"b": A}, "x" * 64], "c": B, "d": A.upper()}))}
    assert found == {A, B}


@pytest.mark.parametrize("body", [{}, {"outputs": None, "changes": 3}, {"changes": [{"old": "x"}, 4]}])
def test_a_body_of_another_shape_ends_no_search(body):
    assert list(EventTypes([Scored]).blobs(event(body))) == []


@pytest.mark.parametrize("value", ["", "none", A[:63], A.upper(), f"{A}\n", 7, None])
def test_a_marked_field_that_holds_no_digest_refers_to_no_blob(value):
    assert list(EventTypes([Scored]).blobs(event({"table": value, "log": value, "origin": {"index": value}}))) == []


def test_a_type_is_declared_where_a_component_that_is_installed_says_so():
    types = EventTypes([Scored])
    assert ("acme.scored" in types, "acme.other" in types) == (True, False)
    assert (types.schema("acme.scored"), types.schema("acme.other")) == (1, 1)


def test_a_record_reads_back_what_it_wrote_and_passes_over_what_it_does_not_know():
    assert Scored.of(event(RECORD.body() | {"later": 1})) == RECORD


def test_two_records_of_one_type_are_a_mistake_that_names_both():
    class Other(EventRecord, frozen=True, kw_only=True):
        type = "acme.scored"

    with pytest.raises(ValueError, match=r"acme.scored is declared by .* and by"):
        EventTypes([Scored, Other])
