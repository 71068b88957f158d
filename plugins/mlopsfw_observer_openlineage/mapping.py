"""An event of a run's stream as OpenLineage's run events.

A session of a run is OpenLineage's run of the pipeline's job, each attempt at a step a run of the step's job with the former for a
parent. A run's id is a ULID and a run event's a UUID, both 128 bits: the first session's is the same number. What follows (a
resumed session, an attempt) has a name-based UUID (RFC 9562, version 5) under it, so that the same is told by any process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from mlopsfw_observer_openlineage.datasets import Datasets
from mlopsfw_observer_openlineage.facets import RUN_EVENT, Json, engine_version, facet, producer

if TYPE_CHECKING:
    from mlopsfw.roles import Event, Host

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, as ULIDs are written
_ULID = re.compile(rf"[0-7][{_ALPHABET}]{{25}}")
_CACHED = 0  # the attempt that was never made


def run_events(event: Event, host: Host, namespace: str) -> Iterator[Json]:
    """Yield what `event`, of a stream `run/ID`, tells: nothing, one run event, or a start and its end."""
    tell = _TELL.get(event.type)
    if tell is not None:
        yield from tell(_Run(event, host, namespace), event.body)


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
        self._events = [one for one in host.events(event.stream) if one.seq <= event.seq]
        started = next((one.body for one in self._events if one.type == "run.started"), {})
        self.job = str(started.get("pipeline") or host.project)
        self._uuid = run_uuid(self.id, event.epoch)
        self._steps = _steps(host.config)
        self._datasets = Datasets(host, namespace, self.job)

    # -- the run itself ----------------------------------------------------------------------------------------------------

    def whole(self, state: str, **facets: Json) -> Json:
        """Return a run event of the whole run."""
        return self._made(state, self._uuid, self.job, "PIPELINE", facets)

    # -- a step --------------------------------------------------------------------------------------------------------------

    def step(self, state: str, body: Json, outputs: Mapping[str, Any] | None = None, **facets: Json) -> Json:
        """Return a run event of the attempt that `body` is about."""
        name, attempt = str(body["step"]), int(body.get("attempt", _CACHED))
        parent = {"run": {"runId": str(self._uuid)}, "job": {"namespace": self._namespace, "name": self.job}}
        made = self._made(
            state,
            uuid5(self._uuid, f"{name}/{attempt}"),
            f"{self.job}.{name}",
            "STEP",
            {**facet("parent", **parent), **facets},
        )
        made["inputs"] = self._inputs(name, body) + self._datasets.sources(outputs or {}, self.id)
        made["outputs"] = self._datasets.returned(outputs or {}, name)
        return made

    def began(self, body: Json) -> bool:
        """Return whether this session told of the start of the attempt that `body` is about."""
        return any(_same(one, self._event.epoch, body) for one in self._events)

    def _inputs(self, step: str, body: Json) -> list[Json]:
        told = body.get("inputs")
        if told is None:  # an end does not repeat what the start said
            starts = [one.body for one in self._events if _same(one, self._event.epoch, body)]
            told = starts[-1].get("inputs", {}) if starts else {}
        wired = self._steps.get(step, {})
        return self._datasets.taken(told, {name: self._origin(source) for name, source in wired.items()})

    def _origin(self, source: str) -> str:
        """Return `step.output` for what a step's input is wired to."""
        outputs = [
            one.body["outputs"] for one in self._events if one.body.get("step") == source and "outputs" in one.body
        ]
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


def _same(event: Event, epoch: int, body: Json) -> bool:
    mine = (event.body.get("step"), event.body.get("attempt")) == (body["step"], body.get("attempt"))
    return event.type == "step.started" and event.epoch == epoch and mine


def _steps(config: str) -> dict[str, dict[str, str]]:
    """Return step → parameter → what it is wired to."""
    steps = msgspec.json.decode(config).get("steps", {})
    return {name: dict(step.get("inputs", {})) for name, step in steps.items()}


# -- what each type of event tells -------------------------------------------------------------------------------------------


def _run_started(run: _Run, _body: Json) -> Iterator[Json]:
    yield run.whole("START")


def _run_finished(run: _Run, body: Json) -> Iterator[Json]:
    if body["status"] == "done":
        yield run.whole("COMPLETE")
        return
    yield run.whole("FAIL", **_error(str(body.get("message") or f"the run ended as {body['status']}")))


def _step_started(run: _Run, body: Json) -> Iterator[Json]:
    yield run.step("START", body)


def _step_cached(run: _Run, body: Json) -> Iterator[Json]:
    yield run.step("START", body)
    yield run.step("COMPLETE", body, body["outputs"])


def _step_finished(run: _Run, body: Json) -> Iterator[Json]:
    yield run.step("COMPLETE", body, body["outputs"])


def _step_failed(run: _Run, body: Json) -> Iterator[Json]:
    if not run.began(body):  # an input that was not there: OpenLineage wants a start all the same
        yield run.step("START", body)
    yield run.step("FAIL", body, **_error(f"{body['type']}: {body['message']}"))


def _error(message: str) -> Json:
    return facet("errorMessage", message=message, programmingLanguage="PYTHON")


_TELL = {
    "run.started": _run_started,
    "takeover": _run_started,
    "run.finished": _run_finished,
    "step.started": _step_started,
    "step.cached": _step_cached,
    "step.finished": _step_finished,
    "step.failed": _step_failed,
}
