"""What the cache writes to the stream of a key, `step/KEY`."""

from __future__ import annotations

from mlopsfw.kernel.events.record import Blob, EventRecord
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.pipeline.cache.key import Fingerprint


class Result(EventRecord, frozen=True, kw_only=True):
    """A step's result was kept.

    Args:
        run: The run that made it.
        step: The step that made it.
        outputs: Output → value.
        fingerprint: What the result depends on.
        seconds: How long it took.
        environment: The installed distributions with their versions, as JSON.
    """

    type = "step.result"
    streams = ("step/KEY",)
    run: str
    step: str
    outputs: dict[str, Artifact]
    fingerprint: Fingerprint
    seconds: float = 0.0
    environment: Blob = ""


EVENTS: tuple[type[EventRecord], ...] = (Result,)
