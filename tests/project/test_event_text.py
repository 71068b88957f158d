"""No event holds free text in clear: each field that can hold a text is a reference to words, a blob, or stands here with what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest

from mlopsfw.kernel.events.record import EventRecord, Text, TextMark
from mlopsfw.kernel.events.registry import fields_of
from mlopsfw.kernel.roles.artifact import BlobMark
from mlopsfw.project.components import bundled, event_types

IN_CLEAR = {
    "an id, a digest, or an exact reference": """
        ActorForgotten.forgotten Alert.id AlertAcknowledged.id AlertDelivered.id AlertFailed.id AlertRepeated.id AlertResolved.id AlertRose.id
        Artifact.digest Artifact.ref BlobsErased.erasure CodeRecord.commit CodeUnit.digest DatasetChecked.contract_digest DatasetErased.erasure
        DatasetErased.subject DatasetSwept.erasures ErasureBegun.erasure ErasureBegun.subject ErasureDone.erasure ErasureDone.subject
        Fingerprint.code Fingerprint.env Fingerprint.environment Fingerprint.inputs Fingerprint.reads Receipt.id Result.run
        RewrittenVersion.digest RewrittenVersion.was StepCached.fingerprint StepCached.from_run StepCertified.from_run StepFinished.fingerprint
        StepStarted.fingerprint VersionOrigin.how VersionRecord.added VersionRecord.digest VersionRecord.pin VersionRecord.run
        VersionRegistered.datasets VersionRegistered.run
        RunReproduced.origin RunStarted.reproduces RunsImported.first RunsImported.last
    """,
    "a name that the configuration, a schema or code gives to a thing": """
        Alert.group Alert.project AlertDelivered.alerter AlertFailed.alerter AlertRaised.alerters AlertResolved.group AlertSilenced.group
        AliasMoved.alias ArtifactLogged.name BrokenRule.columns DatasetTagged.tag DatasetUntagged.tag EndpointWanted.deployer
        EndpointWanted.model ErasureBegun.column ErasureBegun.dataset ErasureDone.column ErasureDone.dataset Fingerprint.each
        Fingerprint.outputs Fingerprint.packages Fingerprint.plugins Fingerprint.runs Fingerprint.step Fingerprint.units
        MetricsRecorded.step Result.outputs Result.step RunBroken.error RunFinished.error RunStarted.env RunStarted.only RunStarted.pipeline
        RunStarted.steps RunStarted.wiring StepCached.inputs StepCached.outputs StepCached.step StepCertified.differing StepCertified.step
        StepFailed.error StepFailed.node StepFailed.step StepFinished.node StepFinished.outputs StepFinished.step StepStarted.engine
        StepStarted.inputs StepStarted.step StepStopped.node StepStopped.step Takeover.holder Takeover.process RunStarted.process VersionRecord.columns VersionRecord.pii
        VersionRegistered.step WindowExamined.drifted WindowExamined.model WindowExamined.monitor
    """,
    "a word of a closed list": """
        AlertDelivered.state AlertFailed.state AliasMoved.how BrokenRule.level RunFinished.status RunStarted.kind VersionRecord.mode
        VersionRegistered.task RunReproduced.verdicts
    """,
    "a moment": """
        Alert.time RunStarted.began LookRecord.at LookRecord.first LookRecord.start LookRecord.until WatchBegun.start WindowExamined.end WindowExamined.start
    """,
    "a number by the name of a metric, or counts": """
        MetricsRecorded.last StepFinished.metrics VersionRegistered.metrics WindowExamined.metrics WindowExamined.labels_aside
        Alert.facts AlertRepeated.facts Artifact.meta ErasureDone.held VersionRecord.intake VersionRecord.watermark
    """,
    "a place: a file, an address, a page": """
        Alert.links CodeUnit.file DatasetChecked.contract DatasetErased.files EndpointReady.url Receipt.link VersionOrigin.files
        VersionRecord.source VersionRecord.uri
    """,
    "the operator's configuration or command line, whose secrets are references": """
        BrokenRule.rule Fingerprint.facts Fingerprint.options Fingerprint.params ParamsLogged.params RunStarted.argv RunStarted.overrides
        RunStarted.params
    """,
    "a sentence of mlopsfw about names": "DatasetVacuumed.forced EndpointStopped.reason StepStopped.reason",
}
"""What a field holds → the fields, as `RECORD.FIELD` of the record that declares them."""


def may_be_text(type_: Any) -> bool:
    """Return whether a value of a field may be, or hold, text that no mark makes a reference."""
    if any(isinstance(mark, TextMark | BlobMark) for mark in getattr(type_, "__metadata__", ())):
        return False
    if get_origin(type_) is Literal or fields_of(type_) is not None:
        return False
    return type_ in (str, Any) or any(map(may_be_text, get_args(type_)))


def records_in(type_: Any) -> Iterator[Any]:
    """Yield a record and those in its fields."""
    fields = fields_of(type_)
    if fields is not None:
        yield type_
    for inner in fields.values() if fields is not None else get_args(type_):
        yield from records_in(inner)


def in_clear(record: Any) -> Iterator[str]:
    """Yield the fields of a record that may hold text in clear, by the class that declares them."""
    names = dict(
        zip(getattr(record, "__struct_encode_fields__", ()), getattr(record, "__struct_fields__", ()), strict=True)
    )
    for encoded, type_ in fields_of(record).items():
        name = names.get(encoded, encoded)
        if may_be_text(type_):
            owner = next((each for each in record.__mro__ if name in vars(each).get("__annotations__", {})), record)
            yield f"{owner.__name__}.{name}"


ALLOWED = {field for fields in IN_CLEAR.values() for field in fields.split()}
RECORDS = list(event_types(bundled(None)))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.type)
def test_a_field_that_may_hold_free_text_is_a_reference_to_words_or_says_here_what_it_holds(record):
    unmarked = {field for each in records_in(record) for field in in_clear(each)}
    assert unmarked <= ALLOWED, "mark the field as Text or WordsBlob, or enter it above with what it holds"


def test_each_field_that_is_entered_exists():
    assert {field for record in RECORDS for each in records_in(record) for field in in_clear(each)} == ALLOWED


def test_a_new_field_of_free_text_needs_a_decision():
    class Said(EventRecord, frozen=True, kw_only=True):
        why: str = ""
        by_name: dict[str, str]
        kept: Text = ""
        listed: tuple[Annotated[str, TextMark()], ...] = ()
        count: int | None = None

    assert list(in_clear(Said)) == ["Said.why", "Said.by_name"]
