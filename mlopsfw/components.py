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
from mlopsfw.kernel.index.part import IndexPart, as_json, upsert
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
    "IndexPart",
    "ReferenceKind",
    "Subject",
    "as_json",
    "upsert",
]
