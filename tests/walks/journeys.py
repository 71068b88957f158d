"""The four walks, each passed twice and recorded.

On the first passage every part is made, which passes `project` and the component of every room. On the second only the walk is left.
"""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import recorder
from bundles import write_bundle

from mlopsfw.cli.root import cli
from mlopsfw.project.facade import Project

_PIPELINE = """
import mlopsfw

def first():
    mlopsfw.log_metric("auc", 0.6)
    return {"rows": 1}

def second():
    mlopsfw.log_metric("auc", 0.7)
    return {"rows": 2}
"""
_STEPS = '[steps.first]\npython = "made:first"\n[steps.second]\npython = "made:second"\n'
_WATCHED = (
    '[[monitor]]\nuse = "drift"\n[monitor.drift]\nmin_rows = 30\n[[alerter]]\nuse = "console"\n'
    "[deployer.http]\ncompact_seconds = 0\n"
)
_DRIFTED = {"distance": 9999.0, "hour": 23, "carrier": "ZZ", "red_eye": True}


@contextmanager
def _opened(folder: Path, toml: str = "", **files: str) -> Iterator[Project]:
    folder.mkdir()
    (folder / "mlopsfw.toml").write_text(f'[project]\nname = "walk"\n{toml}', encoding="utf-8")
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    before, handler = Path.cwd(), signal.getsignal(signal.SIGTERM)  # `run` takes SIGTERM for an interruption
    os.chdir(folder)
    try:
        with Project.open(folder) as project:
            yield project
    finally:
        os.chdir(before)
        signal.signal(signal.SIGTERM, handler)


def _verb(project: Project, name: str, *words: str) -> None:
    """Run a verb in the project, which is open already."""
    code = cli.get_command(None, name).main([*words], obj={"opened": project}, standalone_mode=False)
    assert code in (None, 0)


def csv_row(folder: Path, trace: Path) -> None:
    """A row of a CSV file, until it stands in the Delta table."""
    rows = {f"{day}_csv": f"id,day,late\n{day},2013-01-0{day},true\n" for day in (1, 2)}
    with _opened(folder, **rows) as project:
        with recorder.recording(trace) as again:
            _verb(project, "data", "add", "flights", "1.csv")
            again()
            _verb(project, "data", "add", "flights", "2.csv", "--append")
        assert project.datasets.resolve("data:/flights").rows == 2


def request(folder: Path, trace: Path) -> None:
    """A request to an endpoint, until an alert about it is delivered."""
    with _opened(folder, _WATCHED) as project:
        project.registry.register("delay", write_bundle(project, folder / "bundle", 0.0), metrics={"auc": 0.5})
        url = project.endpoints.deploy("models:/delay@1").url
        try:
            with recorder.recording(trace) as again:
                _pass(project, url, day=2)
                assert project.alerts.resolve("delay/drift")
                project.alerts.pump()
                again()
                _pass(project, url, day=1)
        finally:
            project.endpoints.stop("delay")


def _pass(project: Project, url: str, *, day: int) -> None:
    """Ask for predictions of rows that happened so many days ago, examine that day, and deliver the alert."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=day)
    rows = [{**_DRIFTED, "event_time": (start + timedelta(hours=1)).isoformat()}] * 60
    body = json.dumps({"dataframe_records": rows}).encode()
    asked = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert len(json.loads(answer.read())["predictions"]) == 60
    (examined,) = project.monitoring.examine("delay", start, start + timedelta(days=1))
    assert examined.report.alarm
    assert project.alerts.pump().delivered == 1


def step(folder: Path, trace: Path) -> None:
    """A step that runs, until its value is taken from the cache."""
    with _opened(folder, _STEPS, made_py=_PIPELINE) as project:
        with recorder.recording(trace) as again:
            _verb(project, "run", "--step", "first")
            _verb(project, "run", "--step", "first")
            again()
            _verb(project, "run", "--step", "second")
            _verb(project, "run", "--step", "second")
        assert [view.steps["second"].status for view in project.runs.list(2)] == ["cached", "done"]


def metric(folder: Path, trace: Path) -> None:
    """A metric that a step logs, until it is listed."""
    with _opened(folder, _STEPS, made_py=_PIPELINE) as project:
        with recorder.recording(trace) as again:
            _verb(project, "run", "--step", "first")
            _verb(project, "runs", "metrics", "latest")
            again()
            _verb(project, "run", "--step", "second")
            _verb(project, "runs", "metrics", "latest")
        assert [row.value for row in project.runs.metrics("latest")] == [0.7]


WALKS = {
    "A CSV row to its Delta file": csv_row,
    "A request to its alert": request,
    "A step to its cached value": step,
    "A metric to a listing": metric,
}
