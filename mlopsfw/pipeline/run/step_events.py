"""What the steps of a run write to its stream, `run/ID`."""

from __future__ import annotations

from typing import Any

import msgspec

from mlopsfw.kernel.events.record import EventRecord, Text, WordsBlob
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.engine import Failure, StepResult


class StepStarted(EventRecord, frozen=True, kw_only=True):
    """An attempt at a step began.

    Args:
        step: The step.
        attempt: From 1.
        inputs: Parameter → value.
        fingerprint: The step's cache key.
        engine: The name of the engine that makes the attempt; empty in this process, and in what earlier releases wrote.
    """

    type = "step.started"
    streams = ("run/RUN",)
    step: str
    attempt: int
    inputs: dict[str, Artifact] = {}
    fingerprint: str = ""
    engine: str = ""


class StepCached(EventRecord, frozen=True, kw_only=True):
    """A kept result was used for a step.

    Args:
        step: The step.
        inputs: Parameter → value.
        outputs: Output → value.
        from_run: The run that made the result.
        fingerprint: The step's cache key.
    """

    type = "step.cached"
    streams = ("run/RUN",)
    step: str
    inputs: dict[str, Artifact] = {}
    outputs: dict[str, Artifact]
    from_run: str = ""
    fingerprint: str = ""


class StepFinished(EventRecord, frozen=True, kw_only=True):
    """An attempt at a step succeeded.

    Args:
        step: The step.
        attempt: From 1.
        outputs: Output → value.
        seconds: Wall time in the worker; of a step by parts, the time from its first part to its join.
        metrics: The last value of each metric.
        node: Where it ran.
        logs: What it printed.
        fingerprint: The step's cache key; empty where the result must not be used again.
    """

    type = "step.finished"
    streams = ("run/RUN",)
    step: str
    attempt: int = 0
    outputs: dict[str, Artifact]
    seconds: float = 0.0
    metrics: dict[str, Any] = {}
    node: str = ""
    logs: WordsBlob = ""
    fingerprint: str = ""

    @classmethod
    def of_result(cls, step: str, attempt: int, result: StepResult, fingerprint: str) -> StepFinished:
        """Return the event of an attempt with this result."""
        return cls(
            step=step,
            attempt=attempt,
            outputs=result.outputs,
            seconds=result.seconds,
            metrics=result.metrics,
            node=result.node,
            logs=result.logs,
            fingerprint=fingerprint,
        )


class StepFailed(EventRecord, frozen=True, kw_only=True):
    """An attempt at a step failed.

    Args:
        step: The step.
        attempt: From 1.
        error: The exception's class.
        message: The exception's message.
        exit_code: The exit code of a command that fails for it.
        lost: Whether the worker vanished.
        traceback: The traceback.
        logs: What it printed.
        node: Where it ran.
    """

    type = "step.failed"
    streams = ("run/RUN",)
    step: str
    attempt: int
    error: str = msgspec.field(name="type")
    message: Text = ""
    exit_code: int | None = None
    lost: bool = False
    traceback: WordsBlob = ""
    logs: WordsBlob = ""
    node: str = ""

    @classmethod
    def of_result(cls, step: str, attempt: int, result: StepResult, failure: Failure, traceback: str) -> StepFailed:
        """Return the event of an attempt that ended with this failure; `traceback` is the digest of its blob, or empty."""
        return cls(
            step=step,
            attempt=attempt,
            error=failure.type,
            message=failure.message,
            exit_code=failure.exit_code,
            lost=failure.lost,
            traceback=traceback,
            logs=result.logs,
            node=result.node,
        )


class StepStopped(EventRecord, frozen=True, kw_only=True):
    """An attempt at a part of a step was stopped, since its result was no longer wanted: it did not fail.

    Args:
        step: The part.
        attempt: From 1.
        reason: Why, such as that the time of a search was over.
        node: Where it ran.
    """

    type = "step.stopped"
    streams = ("run/RUN",)
    step: str
    attempt: int
    reason: str
    node: str = ""


class StepCertified(EventRecord, frozen=True, kw_only=True):
    """A result was made anew and compared with the kept one.

    Args:
        step: The step.
        equal: Whether all outputs are the same.
        differing: The outputs that are not.
        from_run: The run that made the kept result.
    """

    type = "step.certified"
    streams = ("run/RUN",)
    step: str
    equal: bool
    differing: tuple[str, ...]
    from_run: str


EVENTS: tuple[type[EventRecord], ...] = (
    StepStarted,
    StepCached,
    StepFinished,
    StepFailed,
    StepStopped,
    StepCertified,
)
