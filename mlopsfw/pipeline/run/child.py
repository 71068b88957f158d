"""What a run's stream says of the children of a step: `mlopsfw.pipeline.run.children` makes them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.pipeline.graph.partnames import is_part, step_of
from mlopsfw.pipeline.run.events import RunStarted
from mlopsfw.pipeline.run.step_events import StepCached, StepFailed, StepFinished, StepStarted, StepStopped

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.event import Event

GIVEN = "child"
"""The input that a child has beside those of its step."""


class Child(msgspec.Struct, kw_only=True):
    """One child, as the run's stream tells it.

    Args:
        number: From 0.
        given: What it has beside the inputs of its step.
        attempt: The latest attempt, from 1.
        status: `running`, `done`, `cached`, `failed` or `stopped`.
        outputs: What it returned.
        failure: Why it failed, or was stopped.
        seconds: How long it took.
        from_run: Of a cached one, the run that made the result.
        key: Its cache key.
    """

    number: int
    given: Artifact
    attempt: int = 1
    status: str = "running"
    outputs: dict[str, Artifact] = {}
    failure: str = ""
    seconds: float = 0.0
    from_run: str = ""
    key: str = ""


class History(NamedTuple):
    """What a run's stream says of the children of a step.

    Args:
        children: In the order of their numbers.
        epoch: The newest epoch of the run.
        seconds: How long earlier attempts of the step worked on them.
        alone: Whether the run reproduces another, and uses no cached result.
    """

    children: list[Child]
    epoch: int
    seconds: float
    alone: bool = False


def history(events: Iterable[Event], step: str) -> History:
    """Return what a run's events say of the children of a step."""
    children: dict[str, Child] = {}
    epoch, seconds, began, last, alone = 0, 0.0, "", "", False

    def worked() -> float:
        times = [datetime.fromisoformat(each) for each in (began, last) if each]
        return (times[1] - times[0]).total_seconds() if len(times) > 1 else 0.0

    for event in events:
        epoch = event.epoch
        alone = alone or (event.type == RunStarted.type and bool(RunStarted.of(event).reproduces))
        name = event.body.get("step", "") if event.type.startswith("step.") else ""
        if name == step and event.type == StepStarted.type:
            seconds, began, last = seconds + worked(), event.time, ""
        elif is_part(name) and step_of(name) == step:
            last = event.time
            _take(children, name, event)
    return History(sorted(children.values(), key=lambda child: child.number), epoch, seconds, alone)


def _take(children: dict[str, Child], name: str, event: Event) -> None:
    if event.type in (StepStarted.type, StepCached.type):
        given = (StepStarted if event.type == StepStarted.type else StepCached).of(event)
        attempt = given.attempt if isinstance(given, StepStarted) else 0
        number = int(name.partition("[")[2].rstrip("]"))
        children[name] = Child(number=number, given=given.inputs[GIVEN], attempt=attempt, key=given.fingerprint)
    child = children[name]
    if event.type == StepCached.type:
        cached = StepCached.of(event)
        child.status, child.outputs, child.from_run = "cached", cached.outputs, cached.from_run
    elif event.type == StepFinished.type:
        finished = StepFinished.of(event)
        child.status, child.outputs, child.seconds = "done", finished.outputs, finished.seconds
    elif event.type == StepFailed.type:
        failed = StepFailed.of(event)
        child.status, child.failure = "failed", f"{failed.error}: {failed.message}".removesuffix(": ")
    elif event.type == StepStopped.type:
        child.status, child.failure = "stopped", StepStopped.of(event).reason
