"""Runs, their steps and metrics in the index."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

from mlopsfw.kernel.index.part import Change, IndexPart, as_json, upsert
from mlopsfw.kernel.roles.event import Event

_TABLES = """
CREATE TABLE runs (run TEXT PRIMARY KEY, pipeline TEXT, status TEXT, started TEXT, finished TEXT, seconds REAL,
    exit_code INTEGER, actor TEXT, wiring TEXT, facts TEXT) WITHOUT ROWID;
CREATE TABLE steps (run TEXT, step TEXT, status TEXT, attempt INTEGER, node TEXT, seconds REAL, fingerprint TEXT,
    from_run TEXT, inputs TEXT, outputs TEXT, failure TEXT, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE metrics (run TEXT, step TEXT, name TEXT, value REAL, PRIMARY KEY (run, step, name)) WITHOUT ROWID;
CREATE INDEX metrics_by_value ON metrics (name, value);
"""


def _run_started(db: Connection, run: str, event: Event) -> None:
    facts = {"pipeline": event.body.get("pipeline", ""), "status": "running", "started": event.time, "seconds": 0.0}
    wiring = as_json(event.body["wiring"]) if "wiring" in event.body else None
    upsert(db, "runs", {"run": run}, {**facts, "actor": event.actor, "wiring": wiring, "facts": as_json(event.body)})


def _run_finished(db: Connection, run: str, event: Event) -> None:
    body = event.body
    db.execute(
        "UPDATE runs SET status = ?, finished = ?, exit_code = ?, seconds = seconds + ? WHERE run = ?",
        (body.get("status"), event.time, body.get("exit_code"), body.get("seconds", 0.0), run),
    )


def _run_taken_over(db: Connection, run: str, event: Event) -> None:
    del event
    db.execute("UPDATE runs SET status = 'running', finished = NULL WHERE run = ?", (run,))


def _step(status: str) -> Change:
    def change(db: Connection, run: str, event: Event) -> None:
        body = event.body
        names = ("attempt", "node", "seconds", "fingerprint", "from_run")
        values = {name: body[name] for name in names if name in body} | {"status": status, "failure": None}
        if "inputs" in body:
            values["inputs"] = as_json({name: taken["ref"] for name, taken in body["inputs"].items() if "ref" in taken})
        if "outputs" in body:
            values["outputs"] = as_json(body["outputs"])
        if status == "failed":
            values["failure"] = f"{body.get('type', '')}: {body.get('message', '')}"
        upsert(db, "steps", {"run": run, "step": body["step"]}, values)
        _metrics(db, run, body["step"], body.get("metrics", {}))

    return change


def _segment(db: Connection, run: str, event: Event) -> None:
    _metrics(db, run, event.body.get("step", ""), event.body.get("last", {}))


def _metrics(db: Connection, run: str, step: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        upsert(db, "metrics", {"run": run, "step": step, "name": name}, {"value": value})


INDEX = IndexPart(
    tables=_TABLES,
    changes={
        ("run", "run.started"): _run_started,
        ("run", "run.finished"): _run_finished,
        ("run", "takeover"): _run_taken_over,
        ("run", "step.started"): _step("running"),
        ("run", "step.finished"): _step("done"),
        ("run", "step.cached"): _step("cached"),
        ("run", "step.failed"): _step("failed"),
        ("run", "metrics.segment"): _segment,
    },
)
