"""What a project writes is what its records say: a project that has done all that needs no server, and so is every record with all its fields."""

from __future__ import annotations

import re
import threading
import types
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import numpy as np
import polars as pl
import pytest

from mlopsfw.data.datasets.events import DatasetRevived
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.datasets.loading.quarantine_resolution import settle
from mlopsfw.governance.events import ErasureDone
from mlopsfw.governance.subject import Subject
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import ServingError
from mlopsfw.kernel.config.model import Retention
from mlopsfw.kernel.events.record import TextMark
from mlopsfw.kernel.events.registry import fields_of
from mlopsfw.kernel.ledger import codec
from mlopsfw.kernel.roles.artifact import BlobMark
from mlopsfw.kernel.roles.bundle import Manifest, SignatureColumn
from mlopsfw.kernel.roles.deployer import EndpointStatus
from mlopsfw.kernel.roles.event import Event
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw.operations.lease import Lease
from mlopsfw.pipeline.run.display import Display
from mlopsfw.pipeline.run.events import RunBroken, RunHeartbeat
from mlopsfw.pipeline.run.step_events import StepStopped
from mlopsfw.project.components import bundled, event_types
from mlopsfw.project.mlflow.importing import Choices, import_mlflow, open_store
from mlopsfw.serving.endpoints import Endpoints, NamedDeployer
from mlopsfw_core import Reference

TYPES = event_types(bundled(None))
KEY = "cd" * 32
TOML = """
[privacy]
key = "env:PII"
[data.people]
contract = "people.toml"
[[monitor]]
use = "drift"
[monitor.drift]
min_rows = 50
[[alerter]]
use = "console"
[[alerter]]
use = "webhook"
url = "http://127.0.0.1:9/"
allow_private = true
timeout = 1
[steps.ingest]
dataset = "people"
path = "people.csv"
[steps.derive]
python = "made:derive"
inputs = { rows = "ingest.rows" }
"""
MADE = """
from pathlib import Path
import mlopsfw

def derive(rows):
    print(rows)
    mlopsfw.log_metric("rows", rows.collect().height)
    if Path("broken").exists():
        raise ValueError("broken")
    return rows
"""
DAY = timedelta(days=1)
START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 4 * DAY
NEVER = {
    RunHeartbeat: "after ten seconds of silence",
    RunBroken: "a mistake in mlopsfw",
    StepStopped: "a search whose time is over: tests/steps/test_steps_search.py",
    DatasetRevived: "a version that is needed while it is vacuumed",
}


class HeldClock(SystemClock):
    """Shows the moment before which all windows are over."""

    def now(self):
        return (START + 2 * DAY).timestamp()


class Shelf:
    """A deployer that serves nothing, and cannot take the second version."""

    mode = "online"

    def deploy(self, spec):
        if spec.version == 2:
            raise ServingError("golden row 0 differs")
        return EndpointStatus(endpoint=spec.endpoint, state="ready", url="http://127.0.0.1:1", model=spec.model, version=spec.version, revision=spec.revision)  # fmt: skip

    def status(self, endpoint):
        return EndpointStatus(endpoint=endpoint, state="stopped")

    stop = status


def runs(project):
    """Run the pipeline: done, failed and taken up again, cached, certified, reproduced; and a script."""
    from mlopsfw import start_run
    from mlopsfw.project.reproduce import reproduce

    (project.root / "people.csv").write_text("customer,amount\nann,1\nbob,2\n")
    begin = project.pipeline
    (project.root / "broken").touch()
    assert begin.start(Display(project.workspace, None)).exit_code == 1
    (project.root / "broken").unlink()
    assert begin.resume(Display(project.workspace, None), begin.latest()).exit_code == 0
    assert begin.start(Display(project.workspace, None)).exit_code == 0
    begin.start(Display(project.workspace, None), certify=True)
    reproduce(project, "latest", 0.0, lambda again: Display(again.workspace, None), debug=True)
    import_mlflow(project, open_store(str(Path(__file__).parent / "mlflow_store" / "mlruns2")), Choices())
    with start_run("tuning", project=project) as script:
        script.log_metric("auc", 0.5)
        script.log_param("rate", 0.1)
        script.log_artifact([1, 2], "best")


def datasets(project):
    """Tag, restore, refer, check, set aside, vacuum and erase."""
    sets = project.datasets
    sets.commit("people", pl.DataFrame({"customer": ["eve"], "amount": [3]}), "append", message="one more")
    sets.tag("people", "golden", 1, message="good")
    sets.untag("people", "golden")
    sets.restore("people", 1, "back")
    (project.root / "people.toml").write_text("contract = 1\n[columns.amount]\nrange = [2, 9]\n")
    project.contract_checks.check_version("people")
    pl.DataFrame({"a": [1]}).write_parquet(project.root / "outside.parquet")
    sets.reference("outside", str(project.root / "outside.parquet"), "as it is")
    (project.root / "bad.csv").write_text("a,b\n1,2\n3\n")
    sets.add("odd", [project.root / "bad.csv"], Change(mode="replace", max_bad=0.9))
    settle(sets, sets.resolve("odd"), "corrected")
    for value in (1, 2):
        sets.commit("short", pl.DataFrame({"a": [value]}), "replace")
    project.version_removal.vacuum("short", Retention(keep=1))
    project.erasures.forget("people", Subject("customer", "ann", bytes.fromhex(KEY)))


def models(project, tmp_path):
    """Register, approve, promote, roll back, deploy, fail to deploy and stop."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    manifest = Manifest(
        task="binary", target="late", inputs=(SignatureColumn(name="x", type="number"),), outputs=outputs_for("binary", (False, True)),
        classes=(False, True), formats={"onnx": "m"}, files={}, facts={"importance": {"x": 0.9}},
    )  # fmt: skip
    profile = {"x": Reference.fit(np.random.default_rng(1).normal(0, 1, 5000), name="x").to_dict()}
    (folder / "bundle.json").write_bytes(msgspec.json.encode(manifest))
    (folder / "profile.json").write_bytes(msgspec.json.encode(profile))
    for version in (1, 2):
        (folder / "more").write_text(str(version))
        project.registry.register("delay", project.blobs.put_folder(folder), metrics={"auc": 0.7}, message="new")
        project.registry.approve("delay", version, "fine")
        project.registry.promote("delay", version, reason="better")
    project.registry.rollback("delay", reason="worse")
    project.endpoints = Endpoints(
        project.ledger,
        project.registry,
        lambda _: NamedDeployer("shelf", Shelf()),
        project.personal_columns,
        project.captures,
    )
    project.endpoints.deploy("models:/delay@1", reason="go")
    with pytest.raises(ServingError):
        project.endpoints.deploy("models:/delay@2")
    project.endpoints.stop("delay")


def monitoring(project):
    """Watch two days, look again as labels come, and alert."""
    times = [START + n * DAY / 100 for n in range(200)]
    rows = {
        "prediction_id": [str(n) for n in range(200)], "event_time": times, "processed_time": times, "model": "delay", "version": 1,
        "bundle": "b", "revision": 1, "x": np.random.default_rng(2).normal(3, 1, 200), "probability": [0.5] * 200,
    }  # fmt: skip
    moments = {name: pl.Datetime("us", "UTC") for name in ("event_time", "processed_time")}
    project.tables.append("captures/delay", pl.DataFrame(rows, schema_overrides=moments))
    watch(project)
    project.labels.add(
        "delay", [{"prediction_id": str(n), "label": n % 2 == 0, "label_time": times[n]} for n in range(200)]
    )
    watch(project)


def watch(project):
    stop = threading.Event()
    seen = []

    def report(one):
        seen.append(one)
        if len(seen) == 2:
            stop.set()

    project.watcher.watch("delay", DAY, stop=stop, report=report, beat=0.01)


def alerts(project):
    """Raise, raise again, acknowledge, let it rise, deliver to one who takes it and one who does not, resolve and silence."""
    for _ in range(2):
        alert = project.alerts.raise_("rows", "warning", "Few rows", "There are few rows.")
    project.alerts.acknowledge(alert.id)
    project.alerts.raise_("rows", "critical", "Too few rows", "There are hardly any rows.")
    project.alerts.pump()
    project.alerts.resolve("rows")
    project.alerts.silence("rows", 60)


@pytest.fixture
def whole(make_project, tmp_path, monkeypatch):
    """A project that has done all that."""
    monkeypatch.setenv("PII", KEY)
    project = make_project(TOML, made=MADE)
    monkeypatch.chdir(project.root)
    runs(project)
    datasets(project)
    models(project, tmp_path)
    alerts(project)
    project.clock = HeldClock()
    monitoring(project)
    lease = Lease(project.ledger.stream("lease/night"), "me", project.clock, patience=60)
    lease.acquire()
    lease.renew()
    lease.release()
    project.people.forget(project.actor)
    return project


def stored(record):
    return msgspec.json.decode(msgspec.json.encode(record.body()))


def test_each_event_of_a_whole_project_is_of_a_declared_type_and_reads_back_from_its_record_as_it_is_stored(whole):
    records = {record.type: record for record in TYPES}
    events = [event for name in whole.ledger.streams() for event in whole.ledger.stream(name).events()]
    assert {event.type for event in events} == set(records) - {record.type for record in NEVER}
    for event in events:
        record = records[event.type]
        assert event.version == record.schema
        assert any(re.fullmatch(re.sub("[A-Z]+", ".+", stream), event.stream) for stream in record.streams), (
            event.stream
        )
        if record is not ErasureDone:  # what holdings had stands beside the fields
            assert stored(record.of(event)) == event.body, event.type
    assert [found for found in whole.doctor.examine() if found.check == "references" and found.level != "ok"] == []


def filled(type_, digests):  # noqa: PLR0911 - one line for each kind
    """Return a value of a field with all that it takes; each blob is another one, and is noted in `digests`."""
    for mark in getattr(type_, "__metadata__", ()):
        if isinstance(mark, BlobMark):
            digests.append(f"{len(digests):064x}")
            return digests[-1]
        return "words" if isinstance(mark, TextMark) else filled(get_args(type_)[0], digests)
    if type_ in PLAIN:
        return PLAIN[type_]
    if (fields := fields_of(type_)) is not None:
        return {name: filled(inner, digests) for name, inner in fields.items()}
    inner = [each for each in get_args(type_) if each not in (Ellipsis, types.NoneType)]
    if get_origin(type_) is Literal or get_origin(type_) in (Union, types.UnionType):
        return inner[-1] if get_origin(type_) is Literal else filled(inner[0], digests)
    if get_origin(type_) in (dict, Mapping):
        return {name: filled(inner[1], digests) for name in ("one", "two")}
    return [filled(each, digests) for each in (inner if len(inner) > 1 else inner * 2)]


PLAIN = {str: "text", int: 7, float: 0.5, bool: True, Any: {"blob": "f" * 64, "logs": ["e" * 64]}}


@pytest.mark.parametrize("record", list(TYPES), ids=lambda record: record.type)
def test_a_record_with_every_field_reads_back_as_it_was_stored_and_gives_each_blob_that_it_marks(record):
    digests = []
    body = filled(record, digests)
    event = Event(stream="a", seq=1, id="1", type=record.type, time="", actor="", body=body, version=record.schema)
    again = codec.decode(codec.encode(event), "a")
    kept = stored(record.of(again))
    assert kept == (
        body if record is not ErasureDone else body["held"] | {k: v for k, v in body.items() if k != "held"}
    )
    assert sorted({blob.digest for blob in TYPES.blobs(again)}) == sorted(digests)
