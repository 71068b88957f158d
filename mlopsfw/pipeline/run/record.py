"""A run as its events tell it: folded into a `RunView`, the one way in which anything learns how a run stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.event import Event

OPEN = ("running", "failed", "interrupted")
"""Statuses of a run that can be gone on with."""


class StepView(msgspec.Struct, kw_only=True):
    """One step of a run.

    Args:
        name: Its name.
        status: `waiting`, `running`, `done`, `cached`, `failed` or `interrupted`.
        attempt: The latest attempt, from 1; 0 before the first.
        seconds: Of the attempt that finished.
        node: Where it ran.
        outputs: What it returned.
        metrics: Last value of each metric.
        fingerprint: Its cache key; empty where the result must not be reused.
        from_run: For a cached step the run that made the result.
        failure: For a failed one what was wrong.
        logs: Blob of its log.
        traceback: Blob of the traceback.
        events: Numbers of its events.
    """

    name: str
    status: str = "waiting"
    attempt: int = 0
    seconds: float = 0.0
    node: str = ""
    outputs: dict[str, Artifact] = {}
    metrics: dict[str, float | None] = {}
    fingerprint: str = ""
    from_run: str = ""
    failure: str = ""
    logs: str = ""
    traceback: str = ""


class RunView(msgspec.Struct, kw_only=True):
    """One run.

    Args:
        id: Its id.
        pipeline: What ran.
        status: `running`, `done`, `failed`, `refused` or `interrupted`.
        started, finished: RFC 3339, UTC; `finished` is empty while it runs.
        seconds: How long it took, resumptions apart.
        exit_code: What the command returned.
        actor: Who started it.
        steps: Steps by name.
        facts: The body of `run.started`.
        epoch: Its fencing number.
        segments: Blobs of its metrics.
        head: Number of its newest event.
    """

    id: str
    pipeline: str = ""
    status: str = "running"
    started: str = ""
    finished: str = ""
    seconds: float = 0.0
    exit_code: int | None = None
    actor: str = ""
    steps: dict[str, StepView] = {}
    facts: dict[str, Any] = {}
    epoch: int = 0
    segments: list[str] = []
    head: int = 0

    @property
    def metrics(self) -> dict[str, float | None]:
        """`step.metric` → last value."""
        return {f"{step.name}.{name}": value for step in self.steps.values() for name, value in step.metrics.items()}

    @property
    def notes(self) -> list[str]:
        """What steps noted on their results, such as `evaluate: the model is worse than …`; each once, where it was made."""
        made: dict[str, str] = {}
        for step in self.steps.values():
            for artifact in step.outputs.values():
                if "note" in artifact.meta:
                    made.setdefault(str(artifact.meta["note"]), step.name)
        return [f"{step}: {text}" for text, step in made.items()]


def fold(run: str, events: Iterable[Event]) -> RunView:
    """Return the run as `events` (of its stream, in order) tell it."""
    view = RunView(id=run)
    for event in events:
        view.head, view.epoch = event.seq, event.epoch
        kind, _, what = event.type.partition(".")
        if kind == "run":
            _run_event(view, what, event)
        elif kind == "step":
            _step_event(view, what, event.body)
        elif event.type == "metrics.segment":
            view.segments.append(event.body["blob"])
        elif event.type == "takeover":
            view.status, view.finished = "running", ""
            view.facts = {
                **view.facts,
                "process": event.body.get("process", {}),
            }  # it is this one's life that counts now
    return view


def _run_event(view: RunView, what: str, event: Event) -> None:
    if what == "started":
        view.facts = event.body
        view.pipeline = event.body.get("pipeline", "")
        view.started, view.actor = event.time, event.actor
        view.steps = {name: StepView(name=name) for name in event.body.get("steps", ())}
    elif what == "finished":
        view.status, view.finished = event.body["status"], event.time
        for step in view.steps.values():
            step.status = "interrupted" if step.status == "running" else step.status
        view.exit_code, view.seconds = event.body["exit_code"], view.seconds + event.body["seconds"]


def _step_event(view: RunView, what: str, body: dict[str, Any]) -> None:
    name = body["step"]
    step = view.steps.setdefault(name, StepView(name=name))
    if what == "started":
        step.status, step.attempt, step.failure = "running", body["attempt"], ""
    elif what in ("finished", "cached"):
        step.status = "done" if what == "finished" else "cached"
        step.outputs = msgspec.convert(body["outputs"], dict[str, Artifact])
        step.metrics, step.fingerprint = body.get("metrics", {}), body.get("fingerprint", "")
        step.seconds, step.node = body.get("seconds", 0.0), body.get("node", "")
        step.logs, step.from_run = body.get("logs", ""), body.get("from_run", "")
    elif what == "failed":
        step.status, step.failure = "failed", f"{body['type']}: {body['message']}"
        step.logs, step.traceback = body.get("logs", ""), body.get("traceback", "")
