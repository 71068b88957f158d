"""`ObserverConformance`: what every observer promises."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlopsfw.kernel.roles.event import Event
from mlopsfw.pipeline.run.events import RunFinished, RunStarted
from mlopsfw.pipeline.run.step_events import StepFinished
from mlopsfw.project.observer_options import record_of
from mlopsfw.testing.host import FakeHost

_TIME = "2026-01-01T00:00:00.000000Z"
PATIENCE = 5.0
"""How many seconds an observer may take for one event."""


def event(type: str, stream: str, seq: int = 1, **body: Any) -> Event:  # noqa: A002 - the event's own field name
    """Return an event as the ledger hands it to observers."""
    return Event(stream=stream, seq=seq, id=f"{seq:032x}", type=type, time=_TIME, actor="user:01j0", body=body)


EVENTS = (
    event(RunStarted.type, "run/01j0", 1, project="p", steps=["a"]),
    event(StepFinished.type, "run/01j0", 2, step="a", outputs={}),
    event("alias.moved", "model/m", 1, alias="champion", version=1, was=None),
    event("window.examined", "monitor/e", 1, monitor="drift", start=_TIME, end=_TIME, alarm=True),
    event("plugin.component.acme.happened", "plugin/component.acme", 1),
    event(RunFinished.type, "run/01j0", 3, status="done"),
)
"""Events of several rooms, one of a type that is not installed, and none complete: bodies grow, and older ones have less."""


class ObserverConformance:
    """Subclass it, and override the fixtures.

    - `observe`: the function of the hook, `mlopsfw_event`.
    - `key`: its entry point, such as `observer.acme`.
    - `options`: what `[observer.NAME]` says; nothing if it is not overridden.
    - `events`: what it sees; events of several rooms if it is not overridden.
    """

    @pytest.fixture
    def observe(self) -> Any:
        """Override: the function of the hook."""
        raise NotImplementedError

    @pytest.fixture
    def key(self) -> str:
        """Override: the entry point."""
        raise NotImplementedError

    @pytest.fixture
    def options(self) -> Mapping[str, Any]:
        """Override: the options."""
        return {}

    @pytest.fixture
    def events(self) -> tuple[Event, ...]:
        """Override: the events."""
        return deepcopy(EVENTS)  # an observer may have changed those of the test before

    @pytest.fixture
    def host(self, tmp_path: Path, key: str) -> FakeHost:
        """Return what the observer may use."""
        return FakeHost(tmp_path, key)

    def test_it_names_only_arguments_of_the_hook(self, observe: Any) -> None:
        assert set(inspect.signature(observe).parameters) <= {"event", "host", "options"}

    def test_its_options_refuse_unknown_keys(self, observe: Any) -> None:
        record = record_of(observe)
        assert record is None or record.__struct_config__.forbid_unknown_fields

    def test_it_takes_every_event_in_time_and_prints_nothing(
        self, observe: Any, host: FakeHost, options: Mapping[str, Any], events: tuple[Event, ...],
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        for each in events:
            began = time.monotonic()
            assert _see(observe, each, host, options) is None
            assert time.monotonic() - began < PATIENCE
        assert capsys.readouterr().out == ""

    def test_it_leaves_events_and_options_as_they_were(
        self, observe: Any, host: FakeHost, options: Mapping[str, Any], events: tuple[Event, ...]
    ) -> None:
        seen, given = [msgspec.json.decode(msgspec.json.encode(each), type=Event) for each in events], deepcopy(options)
        for each in seen:
            _see(observe, each, host, given)
        assert seen == list(events)
        assert given == options

    def test_it_writes_in_its_own_name_only(
        self, observe: Any, key: str, host: FakeHost, options: Mapping[str, Any], events: tuple[Event, ...]
    ) -> None:
        for each in events:
            _see(observe, each, host, options)
        assert {written.actor for written in host.observed} <= {f"plugin:{key}"}

    def test_it_can_see_an_event_again(
        self, observe: Any, host: FakeHost, options: Mapping[str, Any], events: tuple[Event, ...]
    ) -> None:
        for each in (*events, *events):
            _see(observe, each, host, options)


def _see(observe: Any, seen: Event, host: FakeHost, options: Mapping[str, Any]) -> Any:
    record = record_of(observe)
    read = (msgspec.convert(options, record) if options else None) if record else options
    arguments = {"event": seen, "host": host, "options": read}
    return observe(**{name: arguments[name] for name in inspect.signature(observe).parameters})
