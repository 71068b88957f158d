"""The observer keeps the promises of its role, and writes down what happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlopsfw.scaffold.observer import mlopsfw_event
from mlopsfw.testing.host import FakeHost
from mlopsfw.testing.observer import ObserverConformance


class TestSampleObserver(ObserverConformance):
    """The file is in the folder of the project."""

    @pytest.fixture
    def observe(self) -> Any:
        """Return the function of the hook."""
        return mlopsfw_event

    @pytest.fixture
    def key(self) -> str:
        """Return the entry point."""
        return "observer.sample"


def test_every_event_is_a_line(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, "observer.sample")
    event = host.emit("plugin/observer.sample", "plugin.observer.sample.tried", {"n": 1})
    mlopsfw_event(event=event, host=host, options=None)
    (line,) = (tmp_path / "sample-events.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["body"] == {"n": 1}
