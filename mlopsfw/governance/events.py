"""What governance writes: erasures to `privacy/erasures`, and who was forgotten. Names of people are no part of it."""

from __future__ import annotations

from typing import Any

import msgspec

from mlopsfw.kernel.events.record import Blob, EventRecord


class ErasureBegun(EventRecord, frozen=True, kw_only=True):
    """An erasure of a person began.

    Args:
        erasure: Its id.
        dataset: The dataset from which it started.
        column: The column that names the person.
        subject: Keyed digest of the column and the value.
    """

    type = "erasure.begun"
    streams = ("privacy/erasures",)
    erasure: str
    dataset: str = ""
    column: str = ""
    subject: str


class ErasureDone(EventRecord, frozen=True, kw_only=True):
    """An erasure of a person is done.

    Args:
        erasure: Its id.
        dataset: The dataset from which it started.
        column: The column that names the person.
        subject: Keyed digest of the column and the value.
        held: What each holding had: name → count, list, or table of counts. It is stored beside the other fields, and
            not read again.
    """

    type = "erasure.done"
    streams = ("privacy/erasures",)
    erasure: str = ""
    dataset: str = ""
    column: str = ""
    subject: str
    held: dict[str, Any] = {}

    def body(self) -> dict[str, Any]:
        """Return what is stored."""
        body: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        held: dict[str, Any] = body.pop("held", {})
        return body | held


class ReplacedBlob(msgspec.Struct, frozen=True, kw_only=True):
    """A blob that an erasure replaced.

    Args:
        old: The blob; it is deleted after this event.
        new: What is left of it; empty for nothing.
    """

    old: Blob
    new: Blob


class BlobsErased(EventRecord, frozen=True, kw_only=True):
    """An erasure replaced blobs.

    Args:
        erasure: The erasure's id.
        blobs: The blobs.
    """

    type = "blobs.erased"
    streams = ("privacy/erasures",)
    erasure: str
    blobs: tuple[ReplacedBlob, ...]


class ActorForgotten(EventRecord, frozen=True, kw_only=True):
    """An actor lost name and key, and so every word written under it.

    Args:
        forgotten: The actor's id.
    """

    type = "actor.forgotten"
    streams = ("privacy/actors",)
    forgotten: str


EVENTS: tuple[type[EventRecord], ...] = (ErasureBegun, ErasureDone, BlobsErased, ActorForgotten)
