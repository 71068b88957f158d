"""What a component is made of: what a part of a project says of itself. The records of its events are made with `mlopsfw.events`."""

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
from mlopsfw.kernel.index import Index
from mlopsfw.kernel.index.part import IndexPart, Listing, as_json, upsert
from mlopsfw.kernel.roles.check import Check, Diagnosis

__all__ = [
    "Check",
    "Component",
    "Diagnosis",
    "Edge",
    "ErasureScope",
    "Fact",
    "Held",
    "Holding",
    "Index",
    "IndexPart",
    "Listing",
    "ReferenceKind",
    "Subject",
    "as_json",
    "upsert",
]
