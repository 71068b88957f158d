"""Events: what a component's records are made of, and the records by which an observer reads those of runs and datasets.

docs/events.md lists every type with its fields. The event itself (`Event`) stands in `mlopsfw.roles`.
"""

from __future__ import annotations

from mlopsfw.data.datasets.events import VERSION_EVENTS, VersionRecord
from mlopsfw.kernel.events.lease import Takeover
from mlopsfw.kernel.events.record import Blob, BundleBlob, EventRecord, Text, Upcaster, WordsBlob
from mlopsfw.pipeline.run.events import RunFinished, RunStarted
from mlopsfw.pipeline.run.step_events import StepCached, StepFailed, StepFinished, StepStarted, StepStopped

__all__ = [
    "VERSION_EVENTS",
    "Blob",
    "BundleBlob",
    "EventRecord",
    "RunFinished",
    "RunStarted",
    "StepCached",
    "StepFailed",
    "StepFinished",
    "StepStarted",
    "StepStopped",
    "Takeover",
    "Text",
    "Upcaster",
    "VersionRecord",
    "WordsBlob",
]
