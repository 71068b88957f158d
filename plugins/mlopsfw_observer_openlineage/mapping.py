"""An event of a run's stream as OpenLineage's run events.

A session of a run is OpenLineage's run of the pipeline's job, each attempt at a step a run of the step's job with the former for a
parent. A run's id is a ULID and a run event's a UUID, both 128 bits: the first session's is the same number. What follows (a
resumed session, an attempt) has a name-based UUID (RFC 9562, version 5) under it, so that the same is told by any process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from mlopsfw.events import (
    RunFinished,
    RunStarted,
    StepCached,
    StepFailed,
    StepFinished,
    StepStarted,
    StepStopped,
    Takeover,
)
from mlopsfw_observer_openlineage.datasets import Datasets
from mlopsfw_observer_openlineage.facets import RUN_EVENT, Json, engine_version, facet, producer

if TYPE_CHECKING:
    from mlopsfw.roles import Event, Host

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, as ULIDs are written
_ULID = re.compile(rf"[0-7][{_ALPHABET}]{{25}}")
_CACHED = 0  # the attempt that was never made
Attempt = StepStarted | StepCached | StepFinished | StepFailed | StepStopped
"""What happened at an attempt."""
_RESULTS: dict[str, type[StepCached | StepFinished]] = {each.type: each for each in (StepCached, StepFinished)}


def run_events(event: Event, host: Host, namespace: str) -> Iterator[Json]:
    """Yield what `event`, of a stream `run/ID`, tells: nothing, one run event, or a start and its end."""
    tell = _TELL.get(event.type)
    if tell is not None:
        yield from tell(_Run(event, host, namespace), event)


def run_uuid(run: str, epoch: int = 0) -> UUID:
    """Return the UUID of a run's session: the ULID's own bits for the first."""
    if _ULID.fullmatch(run) is None:
        first = uuid5(NAMESPACE_URL, f"mlopsfw:runs:/{run}")
    else:
        first = UUID(int=sum(_ALPHABET.index(digit) << 5 * place for place, digit in enumerate(reversed(run))))
    return uuid5(first, f"sitting {epoch}") if epoch else first


class _Run:
    """One run as its events so far tell it."""

    def __init__(self, event: Event, host: Host, namespace: str) -> None:
        self.id, self._event, self._namespace = event.stream.partition("/")[2], event, namespace
        self._events = [each for each in host.events(event.stream) if each.seq <= event.seq]
        pipelines = (RunStarted.of(each).pipeline for each in self._events if each.type == RunStarted.type)
        self.job = next(pipelines, "") or host.project
        self._uuid = run_uuid(self.id, event.epoch)
        self._steps = _steps(host.config)
        self._datasets = Datasets(host, namespace, self.job)

    # -- the run itself ----------------------------------------------------------------------------------------------------

    def whole(self, state: str, **facets: Json) -> Json:
        """Return a run event of the whole run."""
        return self._made(state, self._uuid, self.job, "PIPELINE", facets)

    # -- a step --------------------------------------------------------------------------------------------------------------

    def step(self, state: str, attempt: Attempt, **facets: Json) -> Json:
        """Return a run event of an attempt."""
        name, number = attempt.step, _CACHED if isinstance(attempt, StepCached) else attempt.attempt
        outputs = attempt.outputs if isinstance(attempt, StepFinished | StepCached) and state == "COMPLETE" else {}
        parent = {"run": {"runId": str(self._uuid)}, "job": {"namespace": self._namespace, "name": self.job}}
        made = self._made(
            state,
            uuid5(self._uuid, f"{name}/{number}"),
            f"{self.job}.{name}",
            "STEP",
            {**facet("parent", **parent), **facets},
        )
        made["inputs"] = self._inputs(attempt) + self._datasets.sources(outputs, self.id)
        made["outputs"] = self._datasets.returned(outputs, name)
        return made

    def start(self, attempt: StepFinished | StepFailed | StepStopped) -> StepStarted | None:
        """Return what this session recorded when an attempt began; None for one that never did."""
        records = (StepStarted.of(each) for each in self._events if self._is_start(each))
        same = [each for each in records if (each.step, each.attempt) == (attempt.step, attempt.attempt)]
        return same[-1] if same else None

    def _is_start(self, event: Event) -> bool:
        return event.type == StepStarted.type and event.epoch == self._event.epoch

    def _inputs(self, attempt: Attempt) -> list[Json]:
        began = attempt if isinstance(attempt, StepStarted | StepCached) else self.start(attempt)
        wired = self._steps.get(attempt.step, {})
        origin = {name: self._origin(source) for name, source in wired.items()}
        return self._datasets.taken(began.inputs if began else {}, origin)

    def _origin(self, source: str) -> str:
        """Return `step.output` for what a step's input is wired to."""
        records = (_RESULTS[each.type].of(each) for each in self._events if each.type in _RESULTS)
        outputs = [each.outputs for each in records if each.step == source]
        return f"{source}.{next(iter(outputs[-1]), 'result')}" if outputs else source

    def _made(self, state: str, run: UUID, job: str, kind: str, facets: Json) -> Json:
        engine = facet("processing_engine", version=engine_version(), name="mlopsfw")
        type_ = facet("jobType", processingType="BATCH", integration="MLOPSFW", jobType=kind)
        return {
            "eventType": state,
            "eventTime": self._event.time,
            "producer": producer(),
            "schemaURL": RUN_EVENT,
            "run": {"runId": str(run), "facets": {**engine, **facets}},
            "job": {"namespace": self._namespace, "name": job, "facets": type_},
            "inputs": [],
            "outputs": [],
        }


def _steps(config: str) -> dict[str, dict[str, str]]:
    """Return step → parameter → what it is wired to."""
    steps = msgspec.json.decode(config).get("steps", {})
    return {name: dict(step.get("inputs", {})) for name, step in steps.items()}


# -- what each type of event tells -------------------------------------------------------------------------------------------


def _run_started(run: _Run, _event: Event) -> Iterator[Json]:
    yield run.whole("START")


def _run_finished(run: _Run, event: Event) -> Iterator[Json]:
    finished = RunFinished.of(event)
    if finished.status == "done":
        yield run.whole("COMPLETE")
        return
    yield run.whole("FAIL", **_error(finished.error or f"the run ended as {finished.status}", run.id))


def _step_started(run: _Run, event: Event) -> Iterator[Json]:
    yield run.step("START", StepStarted.of(event))


def _step_cached(run: _Run, event: Event) -> Iterator[Json]:
    yield run.step("START", StepCached.of(event))
    yield run.step("COMPLETE", StepCached.of(event))


def _step_finished(run: _Run, event: Event) -> Iterator[Json]:
    yield run.step("COMPLETE", StepFinished.of(event))


def _step_failed(run: _Run, event: Event) -> Iterator[Json]:
    failed = StepFailed.of(event)
    if run.start(failed) is None:  # an input that was not there: OpenLineage wants a start all the same
        yield run.step("START", failed)
    yield run.step("FAIL", failed, **_error(failed.error, run.id))


def _step_stopped(run: _Run, event: Event) -> Iterator[Json]:
    yield run.step("ABORT", StepStopped.of(event))


def _error(cause: str, run: str) -> Json:
    """Return the class of an error. What it says may quote rows: it stays where an erasure reaches it."""
    text = f"{cause}. To read its message: mlopsfw runs show {run}"
    return facet("errorMessage", message=text, programmingLanguage="PYTHON")


_TELL: dict[str, Callable[[_Run, Event], Iterator[Json]]] = {
    RunStarted.type: _run_started,
    Takeover.type: _run_started,
    RunFinished.type: _run_finished,
    StepStarted.type: _step_started,
    StepCached.type: _step_cached,
    StepFinished.type: _step_finished,
    StepFailed.type: _step_failed,
    StepStopped.type: _step_stopped,
}
