"""The observer writes down what happened."""

from __future__ import annotations

import json
from pathlib import Path

from mlopsfw import Project
from mlopsfw.scaffold.observer import mlopsfw_event


def test_every_event_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    with Project.open(tmp_path) as project:
        host = project.host("observer.sample")
        event = host.emit("plugin/observer.sample", "plugin.observer.sample.tried", {"n": 1})
        mlopsfw_event(event=event, host=host, options={})
    (line,) = (tmp_path / "sample-events.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["body"] == {"n": 1}
