"""Runs, their steps and metrics in the index."""

from __future__ import annotations

from collections.abc import Mapping
from sqlite3 import Connection
from typing import Any

from mlopsfw.kernel.events.lease import Takeover
from mlopsfw.kernel.index.part import IndexPart, Listing, as_json, upsert
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.event import Event
from mlopsfw.pipeline.run.events import MetricsRecorded, ParamsLogged, RunFinished, RunStarted, as_number
from mlopsfw.pipeline.run.step_events import StepCached, StepFailed, StepFinished, StepStarted, StepStopped

_TABLES = """
CREATE TABLE runs (run TEXT PRIMARY KEY, pipeline TEXT, status TEXT, started TEXT, finished TEXT, seconds REAL,
    exit_code INTEGER, actor TEXT, wiring TEXT, facts TEXT) WITHOUT ROWID;
CREATE TABLE steps (run TEXT, step TEXT, status TEXT, attempt INTEGER, node TEXT, seconds REAL, fingerprint TEXT,
    from_run TEXT, inputs TEXT, outputs TEXT, failure TEXT, message TEXT, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE metrics (run TEXT, step TEXT, name TEXT, value REAL, PRIMARY KEY (run, step, name)) WITHOUT ROWID;
CREATE TABLE params (run TEXT, name TEXT, value TEXT, PRIMARY KEY (run, name)) WITHOUT ROWID;
CREATE INDEX metrics_by_value ON metrics (name, value);
"""


def _run_started(db: Connection, run: str, event: Event) -> None:
    started = RunStarted.of(event)
    values = {
        "pipeline": started.pipeline,
        "status": "running",
        "started": started.began or event.time,
        "seconds": 0.0,
        "actor": event.actor,
        "wiring": None if started.wiring is None else as_json(started.wiring),
        "facts": as_json(event.body),
    }
    upsert(db, "runs", {"run": run}, values)
    _params(db, run, started.params)


def _run_finished(db: Connection, run: str, event: Event) -> None:
    finished = RunFinished.of(event)
    db.execute(
        "UPDATE runs SET status = ?, finished = ?, exit_code = ?, seconds = seconds + ? WHERE run = ?",
        (finished.status, event.time, finished.exit_code, finished.seconds, run),
    )
    db.execute("UPDATE steps SET status = 'interrupted' WHERE run = ? AND status = 'running'", (run,))


def _run_taken_over(db: Connection, run: str, event: Event) -> None:
    del event
    db.execute("UPDATE runs SET status = 'running', finished = NULL WHERE run = ?", (run,))


def _step_started(db: Connection, run: str, event: Event) -> None:
    started = StepStarted.of(event)
    values = {"attempt": started.attempt, "fingerprint": started.fingerprint, "inputs": _references(started.inputs)}
    _step(db, run, started.step, "running", values)


def _step_finished(db: Connection, run: str, event: Event) -> None:
    finished = StepFinished.of(event)
    values = {
        "attempt": finished.attempt,
        "node": finished.node,
        "seconds": finished.seconds,
        "fingerprint": finished.fingerprint,
        "outputs": as_json(finished.outputs),
        "from_run": None,
    }
    _step(db, run, finished.step, "done", values)
    _metrics(db, run, finished.step, finished.metrics)


def _step_cached(db: Connection, run: str, event: Event) -> None:
    cached = StepCached.of(event)
    values = {
        "fingerprint": cached.fingerprint,
        "inputs": _references(cached.inputs),
        "outputs": as_json(cached.outputs),
    }
    if cached.from_run == run and _is_made(db, run, cached.step):
        upsert(db, "steps", {"run": run, "step": cached.step}, values)
        return  # an earlier session of this run made it: its metrics and seconds stand
    db.execute("DELETE FROM metrics WHERE run = ? AND step = ?", (run, cached.step))
    _step(db, run, cached.step, "cached", {"from_run": cached.from_run, "node": None, "seconds": None, **values})


def _is_made(db: Connection, run: str, step: str) -> bool:
    made = "SELECT 1 FROM steps WHERE run = ? AND step = ? AND status IN ('done', 'cached')"
    return db.execute(made, (run, step)).fetchone() is not None


def _step_failed(db: Connection, run: str, event: Event) -> None:
    failed = StepFailed.of(event)
    values = {"attempt": failed.attempt, "node": failed.node, "failure": failed.error, "message": failed.message}
    _step(db, run, failed.step, "failed", values)


def _step_stopped(db: Connection, run: str, event: Event) -> None:
    stopped = StepStopped.of(event)
    values = {"attempt": stopped.attempt, "node": stopped.node, "message": stopped.reason}
    _step(db, run, stopped.step, "stopped", values)


def _step(db: Connection, run: str, step: str, status: str, values: dict[str, Any]) -> None:
    upsert(db, "steps", {"run": run, "step": step}, {"status": status, "failure": None, "message": None, **values})


def _references(inputs: Mapping[str, Artifact]) -> str:
    return as_json({name: artifact.ref for name, artifact in inputs.items() if artifact.ref})


def _metrics_recorded(db: Connection, run: str, event: Event) -> None:
    recorded = MetricsRecorded.of(event)
    _metrics(db, run, recorded.step, recorded.last)


def _metrics(db: Connection, run: str, step: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():  # SQLite keeps not-a-number as null
        upsert(db, "metrics", {"run": run, "step": step, "name": name}, {"value": as_number(value)})


def _params_logged(db: Connection, run: str, event: Event) -> None:
    _params(db, run, ParamsLogged.of(event).params)


def _params(db: Connection, run: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        upsert(db, "params", {"run": run, "name": name}, {"value": as_json(value)})


_METRICS = Listing(
    "metrics",
    "the last value of each metric, newest run first",
    "SELECT run, step, name, value, started FROM metrics JOIN runs USING (run) ORDER BY run DESC, step, name",
)

INDEX = IndexPart(
    tables=_TABLES,
    listings=(_METRICS,),
    version=7,
    changes={
        ("run", RunStarted.type): _run_started,
        ("run", RunFinished.type): _run_finished,
        ("run", Takeover.type): _run_taken_over,
        ("run", StepStarted.type): _step_started,
        ("run", StepFinished.type): _step_finished,
        ("run", StepCached.type): _step_cached,
        ("run", StepFailed.type): _step_failed,
        ("run", StepStopped.type): _step_stopped,
        ("run", MetricsRecorded.type): _metrics_recorded,
        ("run", ParamsLogged.type): _params_logged,
    },
)
