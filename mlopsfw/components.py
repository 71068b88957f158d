"""What a component is made of: what a part of a project says of itself. See `mlopsfw_components` in `mlopsfw.roles`."""

from __future__ import annotations

from mlopsfw.kernel.component import (
    Component,
    Edge,
    ErasureScope,
    Fact,
    Held,
    Holding,
    ReferenceKind,
    Subject,
)
from mlopsfw.kernel.events.record import Blob, BundleBlob, EventRecord, Text, WordsBlob
from mlopsfw.kernel.index import Index
from mlopsfw.kernel.index.part import IndexPart, Listing, as_json, upsert
from mlopsfw.kernel.roles.check import Check, Diagnosis

__all__ = [
    "Blob",
    "BundleBlob",
    "Check",
    "Component",
    "Diagnosis",
    "Edge",
    "ErasureScope",
    "EventRecord",
    "Fact",
    "Held",
    "Holding",
    "Index",
    "IndexPart",
    "Listing",
    "ReferenceKind",
    "Subject",
    "Text",
    "WordsBlob",
    "as_json",
    "upsert",
]
