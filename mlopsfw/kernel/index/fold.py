"""How each event changes the index: one function a type, nothing read back. An unknown type changes nothing.

`facts` columns hold the event's body as JSON, so that a query reaches what has no column: `facts ->> '$.task'`.
"""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

import msgspec

from mlopsfw.kernel.roles.event import Event

Change = Callable[[Connection, str, Event], None]


def apply(db: Connection, event: Event) -> None:
    """Change the index as `event` says."""
    kind, _, name = event.stream.partition("/")
    change = _CHANGES.get((kind, event.type))
    if change is not None:
        change(db, name, event)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _upsert(db: Connection, table: str, keys: dict[str, Any], values: dict[str, Any]) -> None:
    """Insert a row, or change the given columns of the one with these keys. Column names are this module's own, never input."""
    row = keys | values
    columns = ", ".join(f'"{name}"' for name in row)
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in values)
    marks = ", ".join("?" * len(row))
    target = ", ".join(f'"{name}"' for name in keys)
    sql = f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT ({target}) DO UPDATE SET {changes}"  # noqa: S608
    db.execute(sql, tuple(row.values()))


# -- runs --------------------------------------------------------------------------------------------------------------------


def _run_started(db: Connection, run: str, event: Event) -> None:
    facts = {"pipeline": event.body.get("pipeline", ""), "status": "running", "started": event.time, "seconds": 0.0}
    _upsert(db, "runs", {"run": run}, {**facts, "actor": event.actor, "facts": _json(event.body)})


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
        if "outputs" in body:
            values["outputs"] = _json(body["outputs"])
        if status == "failed":
            values["failure"] = f"{body.get('type', '')}: {body.get('message', '')}"
        _upsert(db, "steps", {"run": run, "step": body["step"]}, values)
        _metrics(db, run, body["step"], body.get("metrics", {}))

    return change


def _segment(db: Connection, run: str, event: Event) -> None:
    _metrics(db, run, event.body.get("step", ""), event.body.get("last", {}))


def _metrics(db: Connection, run: str, step: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        _upsert(db, "metrics", {"run": run, "step": step, "name": name}, {"value": value})


# -- models ------------------------------------------------------------------------------------------------------------------


def _registered(db: Connection, model: str, event: Event) -> None:
    body = event.body
    _upsert(db, "models", {"model": model}, {"latest": body["version"], "time": event.time})
    values = {"bundle": body.get("bundle"), "run": body.get("run"), "time": event.time, "actor": event.actor}
    _upsert(db, "versions", {"model": model, "version": body["version"]}, {**values, "facts": _json(body)})


def _approved(db: Connection, model: str, event: Event) -> None:
    _upsert(db, "versions", {"model": model, "version": event.body["version"]}, {"approved_by": event.actor})


def _moved(db: Connection, model: str, event: Event) -> None:
    body = event.body
    values = {"version": body["version"], "was": body.get("was"), "time": event.time, "actor": event.actor}
    _upsert(db, "aliases", {"model": model, "alias": body["alias"]}, values)


# -- datasets, endpoints, windows, alerts --------------------------------------------------------------------------------------


def _committed(db: Connection, dataset: str, event: Event) -> None:
    body = event.body
    values = {"digest": body.get("digest"), "rows": body.get("rows"), "time": event.time, "actor": event.actor}
    _upsert(db, "datasets", {"dataset": dataset, "version": body["version"]}, {**values, "facts": _json(body)})


def _rows_erased(db: Connection, dataset: str, event: Event) -> None:
    for change in event.body["versions"]:
        values = {"digest": change["digest"], "rows": change["rows"]}
        _upsert(db, "datasets", {"dataset": dataset, "version": change["version"]}, values)


def _endpoint(state: str) -> Change:
    def change(db: Connection, endpoint: str, event: Event) -> None:
        names = ("revision", "model", "version", "url", "reason")
        values = {name: event.body[name] for name in names if name in event.body}
        _upsert(db, "endpoints", {"endpoint": endpoint}, {**values, "state": state, "time": event.time})

    return change


def _examined(db: Connection, endpoint: str, event: Event) -> None:
    body = event.body
    keys = {"endpoint": endpoint, "monitor": body["monitor"], "start": body["start"], "end": body["end"]}
    values = {"rows": body.get("rows"), "alarm": bool(body.get("alarm")), "time": event.time, "facts": _json(body)}
    _upsert(db, "windows", keys, values)


def _raised(db: Connection, _: str, event: Event) -> None:
    alert = event.body["alert"]
    values = {name: alert.get(name) for name in ("group", "severity", "title", "time")}
    _upsert(db, "alerts", {"id": alert["id"]}, {**values, "state": alert.get("state", "firing"), "facts": _json(alert)})


def _alert(state: str) -> Change:
    def change(db: Connection, _: str, event: Event) -> None:
        db.execute("UPDATE alerts SET state = ? WHERE id = ?", (state, event.body.get("id")))

    return change


_CHANGES: dict[tuple[str, str], Change] = {
    ("run", "run.started"): _run_started,
    ("run", "run.finished"): _run_finished,
    ("run", "takeover"): _run_taken_over,
    ("run", "step.started"): _step("running"),
    ("run", "step.finished"): _step("done"),
    ("run", "step.cached"): _step("cached"),
    ("run", "step.failed"): _step("failed"),
    ("run", "metrics.segment"): _segment,
    ("model", "version.registered"): _registered,
    ("model", "version.approved"): _approved,
    ("model", "alias.moved"): _moved,
    ("dataset", "dataset.committed"): _committed,
    ("dataset", "dataset.referenced"): _committed,
    ("dataset", "dataset.restored"): _committed,
    ("dataset", "dataset.erased"): _rows_erased,
    ("endpoint", "endpoint.wanted"): _endpoint("wanted"),
    ("endpoint", "endpoint.ready"): _endpoint("ready"),
    ("endpoint", "endpoint.failed"): _endpoint("failed"),
    ("endpoint", "endpoint.stopped"): _endpoint("stopped"),
    ("monitor", "window.examined"): _examined,
    ("alerts", "alert.raised"): _raised,
    ("alerts", "alert.acknowledged"): _alert("acknowledged"),
    ("alerts", "alert.resolved"): _alert("resolved"),
}
