"""A run folded from its events into a `RunView`, the only source for the state of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from mlopsfw.kernel.events.lease import Takeover
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.event import Event
from mlopsfw.pipeline.run.events import (
    ArtifactLogged,
    MetricsRecorded,
    ParamsLogged,
    RunFinished,
    RunReproduced,
    RunStarted,
    as_number,
)
from mlopsfw.pipeline.run.step_events import StepCached, StepFailed, StepFinished, StepStarted, StepStopped

OPEN = ("running", "lost", "failed", "interrupted")
"""Statuses of a run that can be resumed."""


class StepView(msgspec.Struct, kw_only=True):
    """One step of a run.

    Args:
        name: The name.
        status: `waiting`, `running`, `done`, `cached`, `failed`, `stopped` (a part that was no longer wanted) or `interrupted`.
        attempt: The latest attempt, from 1; 0 before the first.
        seconds: Of the attempt that finished; of a step by parts, from its first part on.
        engine: The name of the engine of that attempt; empty for a cached step.
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
    engine: str = ""
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
        status: `running`, `lost` (it has not ended, and its process is gone), `done`, `failed`, `refused` or `interrupted`.
        started, finished: RFC 3339, UTC; `finished` is empty while it runs.
        seconds: How long it took, resumptions apart.
        exit_code: What the command returned.
        actor: Who started it.
        steps: Steps by name.
        facts: What it recorded when it started; `process` is the one that goes on with it.
        epoch: Its fencing number.
        segments: Blobs of its metrics.
        head: Number of its newest event.
        seen: When that was written.
        params: What a script gave and logged as its parameters.
        artifacts: What a script logged, by name.
        logged: Last value of each metric that a script logged.
        verdicts: Of a run that reproduces another: step → how its results compare; see `RunReproduced`.
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
    facts: RunStarted = RunStarted()
    epoch: int = 0
    segments: list[str] = []
    head: int = 0
    seen: str = ""
    params: dict[str, Any] = {}
    artifacts: dict[str, Artifact] = {}
    logged: dict[str, float | None] = {}
    verdicts: dict[str, str] = {}

    @property
    def metrics(self) -> dict[str, float | None]:
        """`step.metric`, or `metric` of a script → last value."""
        of_steps = {
            f"{step.name}.{name}": value for step in self.steps.values() for name, value in step.metrics.items()
        }
        return {**self.logged, **of_steps}

    @property
    def notes(self) -> list[str]:
        """The notes of steps on their results, such as `evaluate: the model is worse than …`; each once, at the step that made it."""
        made: dict[str, str] = {}
        for step in self.steps.values():
            for artifact in step.outputs.values():
                if "note" in artifact.meta:
                    made.setdefault(str(artifact.meta["note"]), step.name)
        return [f"{step}: {text}" for text, step in made.items()]

    def _repr_html_(self) -> str:
        """Return the run for a notebook."""
        from mlopsfw.pipeline.run.notebook import run_html

        return run_html(self)


def artifacts_of(view: RunView) -> dict[str, Artifact]:
    """Return each result of a run, by `step.output`, or by the name that a script gave it."""
    of_steps = {f"{step.name}.{name}": value for step in view.steps.values() for name, value in step.outputs.items()}
    return {**of_steps, **view.artifacts}


def results_of(view: RunView) -> dict[str, str]:
    """Return what each result of a run is: its reference, or its kind and the beginning of its digest."""
    return {name: value.ref or f"{value.kind} {value.digest[:12]}" for name, value in artifacts_of(view).items()}


def fold(run: str, events: Iterable[Event]) -> RunView:
    """Return the run, folded from `events` (its stream, in order)."""
    view = RunView(id=run)
    for event in events:
        view.head, view.epoch, view.seen = event.seq, event.epoch, event.time
        if fold_event := _FOLDS.get(event.type):
            fold_event(view, event)
    return view


def _run_started(view: RunView, event: Event) -> None:
    started = RunStarted.of(event)
    view.facts, view.pipeline = started, started.pipeline
    view.started, view.actor, view.params = started.began or event.time, event.actor, dict(started.params)
    view.steps = {name: StepView(name=name) for name in started.steps}


def _run_finished(view: RunView, event: Event) -> None:
    finished = RunFinished.of(event)
    view.finished = event.time
    stop(view, finished.status)
    view.exit_code, view.seconds = finished.exit_code, view.seconds + finished.seconds


def stop(view: RunView, status: str) -> None:
    """Give a run that goes on no more its status; what ran in it was interrupted."""
    view.status = status
    for step in view.steps.values():
        step.status = "interrupted" if step.status == "running" else step.status


def _taken_over(view: RunView, event: Event) -> None:
    view.status, view.finished = "running", ""
    view.facts = msgspec.structs.replace(view.facts, process=Takeover.of(event).process)  # its life counts now


def _step(view: RunView, name: str) -> StepView:
    return view.steps.setdefault(name, StepView(name=name))


def _step_started(view: RunView, event: Event) -> None:
    started = StepStarted.of(event)
    step = _step(view, started.step)
    step.status, step.attempt, step.failure = "running", started.attempt, ""
    step.engine, step.logs, step.traceback = started.engine, "", ""  # those of the attempt before


def _step_finished(view: RunView, event: Event) -> None:
    finished = StepFinished.of(event)
    step = _step(view, finished.step)
    step.status, step.outputs = "done", finished.outputs
    step.metrics = {name: as_number(value) for name, value in finished.metrics.items()}
    step.fingerprint, step.seconds, step.node = finished.fingerprint, finished.seconds, finished.node
    step.logs, step.from_run = finished.logs, ""


def _step_cached(view: RunView, event: Event) -> None:
    cached = StepCached.of(event)
    step = _step(view, cached.step)
    step.outputs, step.fingerprint = cached.outputs, cached.fingerprint
    if cached.from_run == view.id and step.status in ("done", "cached"):
        return  # an earlier session of this run made it: its log, metrics and seconds stand
    step.status, step.metrics, step.seconds, step.node = "cached", {}, 0.0, ""
    step.logs, step.traceback, step.from_run, step.engine = "", "", cached.from_run, ""


def _step_failed(view: RunView, event: Event) -> None:
    failed = StepFailed.of(event)
    step = _step(view, failed.step)
    step.status, step.failure = "failed", f"{failed.error}: {failed.message}".removesuffix(": ")
    step.logs, step.traceback = failed.logs, failed.traceback


def _step_stopped(view: RunView, event: Event) -> None:
    stopped = StepStopped.of(event)
    step = _step(view, stopped.step)
    step.status, step.node = "stopped", stopped.node


def _metrics_recorded(view: RunView, event: Event) -> None:
    recorded = MetricsRecorded.of(event)
    view.segments.append(recorded.blob)
    if not recorded.step:
        view.logged.update({name: as_number(value) for name, value in recorded.last.items()})


def _params_logged(view: RunView, event: Event) -> None:
    view.params.update(ParamsLogged.of(event).params)


def _artifact_logged(view: RunView, event: Event) -> None:
    logged = ArtifactLogged.of(event)
    view.artifacts[logged.name] = logged.artifact


def _reproduced(view: RunView, event: Event) -> None:
    view.verdicts = RunReproduced.of(event).verdicts


_FOLDS: dict[str, Callable[[RunView, Event], None]] = {
    RunStarted.type: _run_started,
    RunFinished.type: _run_finished,
    Takeover.type: _taken_over,
    StepStarted.type: _step_started,
    StepFinished.type: _step_finished,
    StepCached.type: _step_cached,
    StepFailed.type: _step_failed,
    StepStopped.type: _step_stopped,
    MetricsRecorded.type: _metrics_recorded,
    ParamsLogged.type: _params_logged,
    ArtifactLogged.type: _artifact_logged,
    RunReproduced.type: _reproduced,
}
