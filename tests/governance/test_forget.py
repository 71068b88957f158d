"""Erasing a subject: a canary that stood in many kinds of files is found in none, the ledger stays whole, and a kill costs nothing."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
import zipfile

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsfw.capturelog.records import Header, Predictions, decode_record, encode
from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.governance import text_search as search
from mlopsfw.governance.forget import STREAM
from mlopsfw.governance.subject import Subject, parse
from mlopsfw.governance.text_search import files_with
from mlopsfw.kernel.base.errors import ConfigError, Erased, UnknownName, UsageError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.bundle import Manifest, SignatureColumn
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw.operations.audit import audit
from mlopsfw.operations.gc import collect
from mlopsfw.pipeline.run.display import Display
from mlopsfw.pipeline.run.events import RunStarted
from mlopsfw.pipeline.run.step_events import StepFailed
from mlopsfw.pipeline.values.erasure import searchable
from mlopsfw.project.facade import Project
from mlopsfw.serving.captures.erasure import drain

CANARY = "canary-7d1f0c2e"
KEY = "cd" * 32
TOML = """
[project]
name = "p"
[privacy]
key = "env:PII"
[steps.ingest]
dataset = "people"
path = "people.csv"
[steps.derive]
python = "steps:derive"
inputs = { rows = "ingest.rows" }
outputs = ["table", "value", "file", "folder"]
"""
STEPS = """
from pathlib import Path
import polars as pl

def derive(rows: pl.DataFrame, context):
    print(rows["customer"].to_list())
    file, folder = context.scratch / "rows.parquet", context.scratch / "folder"
    rows.write_parquet(file)
    folder.mkdir()
    (folder / "a.csv").write_text(rows.write_csv())
    (folder / "b.txt").write_text("nothing of interest")
    return {"table": rows, "value": {"first": rows["customer"][0]}, "file": file, "folder": folder}
"""

WINDOW = {
    "monitor": "drift",
    "model": "delay",
    "version": 1,
    "start": "a",
    "end": "b",
    "rows": 1,
    "alarm": False,
    "drifted": [],
}


def people(*customers):
    return pl.DataFrame({"customer": customers, "amount": [float(n) for n in range(len(customers))]})


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PII", KEY)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "mlopsfw.toml").write_text(TOML)
    (folder / "steps.py").write_text(STEPS)
    return folder


def lived_in(root, tmp_path, column="customer"):
    """Return a project in which the canary has come everywhere."""
    source = tmp_path / "people.csv"
    people(CANARY, "other-1", "other-2").write_csv(source)
    (root / "mlopsfw.toml").write_text(TOML.replace('"people.csv"', json.dumps(str(source))))
    with Project.open(root) as running:
        assert running.pipeline.start(Display(running.workspace, None)).exit_code == 0
    project = Project.open(root)
    (run,) = project.runs.ids()
    project.datasets.commit("people", people("other-3", CANARY), "append")
    project.datasets.commit("people", people("other-4"), "append")
    project.datasets.commit("people", people("other-5"), "replace")
    serve(project, tmp_path, run)
    source.unlink()  # what lies outside of the project is its owner's
    return project


INPUTS = (SignatureColumn(name="customer", type="string"),)


def serve(project, tmp_path, run):
    folder = tmp_path / "bundle"
    folder.mkdir()
    inputs = INPUTS
    manifest = Manifest(
        task="binary",
        target="late",
        inputs=inputs,
        outputs=outputs_for("binary", (False, True)),
        classes=(False, True),
        formats={},
        files={},
    )
    (folder / "bundle.json").write_bytes(msgspec.json.encode(manifest))
    bundle = project.blobs.put_folder(folder)
    project.registry.register("delay", bundle, run=run, datasets=["data:/people@1"])
    wanted = {"revision": 1, "model": "delay", "version": 1, "bundle": bundle, "reason": ""}
    project.ledger.stream("endpoint/delay").append(PlainRecord("endpoint.wanted", wanted))
    header = Header(
        endpoint="delay", revision=1, model="delay", version=1, bundle=bundle, inputs=inputs, outputs=("p",)
    )
    writer = CaptureWriter(project.captures.folder("delay"), header)
    for n, customer in enumerate([CANARY, "other-1", CANARY]):
        writer.write([(prediction(n, customer), 1)])
        if n == 1:
            project.captures.compact("delay")
    writer.close()
    rows = [{"prediction_id": f"p{n}", "label": n != 1} for n in range(3)]
    project.labels.add("delay", rows)
    report = project.blobs.put(json.dumps({"largest": CANARY}).encode())
    project.ledger.stream("monitor/delay").append(
        PlainRecord("window.examined", {**WINDOW, "report": report, "page": ""})
    )


def prediction(n, customer):
    return encode(
        Predictions(
            ids=[f"p{n}"], event_times=[n], processed_time=n, inputs={"customer": [customer]}, outputs={"p": [0.5]}
        )
    )


def subject(value=CANARY, column="customer", **more):
    return Subject(column, value, bytes.fromhex(KEY), **more)


def places(root):
    """Return the kinds of places in which the canary stands, by the first folders of their paths."""
    return {"/".join(file.relative_to(root).parts[1:-1][:3]) for file in files_with(root, [CANARY])}


def raw(root):
    """Return the files in which the canary stands as bytes, unpacked by nothing of ours."""
    return [file for file in root.rglob("*") if file.is_file() and CANARY.encode() in file.read_bytes()]


def healthy(project):
    assert not [problem for stream in audit(project.storage) for problem in stream.problems]
    with Project.open(project.root) as fresh:
        assert not [found for found in fresh.doctor.examine(verify=True) if found.level == "error"]


# -- the whole -------------------------------------------------------------------------------------------------------------


def test_the_canary_stood_in_many_places_and_stands_in_none(root, tmp_path):
    project = lived_in(root, tmp_path)
    before = places(root)
    assert {"store/tables/datasets", "store/tables/captures", "captures/delay"} <= before, before
    assert any(place.startswith("store/objects") for place in before)
    assert len(files_with(root, [CANARY])) >= 10
    done = project.erasures.forget("people", subject())
    assert not files_with(root, [CANARY])
    assert not raw(root)
    assert done.held["datasets"] == {"people": {1: 1, 2: 2, 3: 2}}
    assert (done.held["captures"], done.held["labels"], done.remaining) == ({"delay": 2}, {"delay": 2}, [])
    assert (done.held["tables"], done.held["models"]) == (1, ["models:/delay@1"])
    assert done.held["dropped"] >= 5  # a value, a file, a folder, a log, a report
    healthy(project)
    collect(project.storage, project.ledger, grace=0)
    healthy(project)


def test_all_other_rows_are_there_in_every_version(root, tmp_path):
    project = lived_in(root, tmp_path)
    project.erasures.forget("people", subject())
    fresh = Project.open(root)
    found = {v: fresh.datasets.scan("people", v).collect()["customer"].to_list() for v in (1, 2, 3, 4)}
    first = ["other-1", "other-2"]
    assert found == {1: first, 2: [*first, "other-3"], 3: [*first, "other-3", "other-4"], 4: ["other-5"]}
    assert fresh.captures.scan("delay").collect()["customer"].to_list() == ["other-1"]
    assert fresh.labels.scan("delay").collect()["prediction_id"].to_list() == ["p1"]
    for version in (1, 2, 3, 4):
        fresh.datasets.verify(f"data:/people@{version}")


def test_other_readers_of_the_delta_table_see_the_same_versions(root, tmp_path):
    from deltalake import DeltaTable

    project = lived_in(root, tmp_path)
    project.erasures.forget("people", subject())
    uri = project.services.tables.find("datasets/people").uri
    heights = [pl.scan_delta(DeltaTable(uri, version=version)).collect().height for version in range(4)]
    assert heights == [2, 3, 4, 1]


def test_the_proof_is_in_the_ledger_without_the_value(root, tmp_path):
    project = lived_in(root, tmp_path)
    done = project.erasures.forget("people", subject())
    events = list(project.ledger.stream(STREAM).events())
    assert [event.type for event in events] == ["erasure.begun", "blobs.erased", "blobs.erased", "erasure.done"]
    assert {event.body["erasure"] for event in events} == {done.erasure}
    assert events[0].body["subject"] == events[-1].body["subject"] == subject().digest != subject("another").digest
    assert all(set(pair) == {"old", "new"} for event in events[1:3] for pair in event.body["blobs"])
    text = msgspec.json.encode([e.body for s in project.ledger.streams() for e in project.ledger.stream(s).events()])
    assert CANARY.encode() not in text
    (erased,) = [e for e in project.ledger.stream("dataset/people").events() if e.type == "dataset.erased"]
    assert [change["version"] for change in erased.body["versions"]] == [1, 2, 3]


def test_old_references_raise_erased(root, tmp_path):
    project = lived_in(root, tmp_path)
    (run,) = project.runs.ids()
    artifacts = {
        **project.runs.get(run).steps["derive"].outputs,
        "rows": project.runs.get(run).steps["ingest"].outputs["rows"],
    }
    log = project.runs.get(run).steps["derive"].logs
    project.erasures.forget("people", subject())
    for artifact in artifacts.values():
        with pytest.raises(Erased):
            project.values.load(artifact)
    for read in (project.blobs.get, project.blobs.path):
        with pytest.raises(Erased):
            read(log)


def test_what_is_left_of_a_table_can_be_had_by_the_digest_that_the_event_names(root, tmp_path):
    project = lived_in(root, tmp_path)
    (run,) = project.runs.ids()
    old = project.runs.get(run).steps["derive"].outputs["table"]
    project.erasures.forget("people", subject())
    events = [e for e in project.ledger.stream(STREAM).events() if e.type == "blobs.erased"]
    new = next(pair["new"] for event in events for pair in event.body["blobs"] if pair["old"] == old.blob)
    left = project.values.load(Artifact(kind="table", digest=new, blob=new))
    assert left["customer"].to_list() == ["other-1", "other-2"]


def test_a_step_whose_result_was_erased_runs_again(root, tmp_path):
    project = lived_in(root, tmp_path)
    project.erasures.forget("people", subject())
    people("other-1", "other-2").write_csv(tmp_path / "people.csv")
    with Project.open(root) as fresh:
        assert fresh.pipeline.start(Display(fresh.workspace, None)).exit_code == 0
        newest = fresh.runs.get("latest")
        assert [step.status for step in newest.steps.values()] == ["done", "done"]


def test_what_parts_returned_is_erased_too(root, tmp_path):
    parts = (
        '\n[steps.parts]\npython = "steps:same"\ninputs = { rows = "ingest.rows" }\neach = "rows"\npart_rows = 65536\n'
    )
    (root / "mlopsfw.toml").write_text(TOML.partition("[steps.derive]")[0] + parts)
    (root / "steps.py").write_text("def same(rows): return rows\n")
    people(*(f"other-{n}" for n in range(70_000)), CANARY).write_csv(root / "people.csv")
    with Project.open(root) as project:
        assert project.pipeline.start(Display(project.workspace, None)).exit_code == 0
        part = project.runs.get("latest").steps["parts[1]"].outputs["result"]
        (root / "people.csv").unlink()
        assert part.blob in {file.name for file in files_with(root, [CANARY])}
        project.erasures.forget("people", subject())
    assert not files_with(root, [CANARY])


def test_rows_are_found_by_the_keyed_hash_that_ingest_left(root, tmp_path):
    (root / "mlopsfw.toml").write_text(TOML.partition("[steps")[0] + '[data.people]\npii = { customer = "hash" }\n')
    project = Project.open(root)
    project.datasets.commit("people", people(CANARY, "other-1"))
    assert project.erasures.forget("people", subject()).held["datasets"] == {"people": {1: 1}}
    assert project.datasets.scan("people").collect().height == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [([1, 2, None], "2"), ([1.5, 2.0, None], "2"), ([True, False, None], "false"), (["a", "b", None], "b")],
)
def test_a_key_is_compared_in_the_columns_own_type(root, value, text):
    project = Project.open(root)
    project.datasets.commit("d", pl.DataFrame({"id": value}))
    project.erasures.forget("d", subject(text, "id"))
    assert project.datasets.scan("d").collect()["id"].to_list() == [value[0], None]


def test_datasets_that_came_of_it_lose_the_rows_too_and_strangers_keep_theirs(root, tmp_path):
    (root / "steps.py").write_text(
        "def derive(rows, context):\n"
        "    return {'made': context.datasets.commit('derived', rows.collect(), 'replace', run=context.run).artifact()}\n"
    )
    source = tmp_path / "people.csv"
    people(CANARY, "other-1").write_csv(source)
    toml = TOML.replace('"people.csv"', json.dumps(str(source))).replace(
        '["table", "value", "file", "folder"]', '["made"]'
    )
    (root / "mlopsfw.toml").write_text(toml)
    with Project.open(root) as project:
        assert project.pipeline.start(Display(project.workspace, None)).exit_code == 0
        project.datasets.commit("strangers", people(CANARY))
    done = Project.open(root).erasures.forget("people", subject())
    assert done.held["datasets"] == {"people": {1: 1}, "derived": {1: 1}}
    assert Project.open(root).datasets.scan("strangers").collect().height == 1


def test_a_dry_run_says_the_same_and_changes_nothing(root, tmp_path):
    project = lived_in(root, tmp_path)
    project.captures.compact("delay")
    before = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    planned = project.erasures.forget("people", subject(), dry_run=True)
    after = {file: file.read_bytes() for file in root.rglob("*") if file.is_file() and "state/blobs" not in str(file)}
    assert {f: d for f, d in after.items() if "/blobs/" not in str(f) and "/index/" not in str(f)} == {
        f: d for f, d in before.items() if "/blobs/" not in str(f) and "/index/" not in str(f)
    }
    done = project.erasures.forget("people", subject())
    same = ("datasets", "captures", "labels", "tables", "models")
    assert [planned.held[name] for name in same] == [done.held[name] for name in same]


def test_a_second_time_there_is_nothing_left(root, tmp_path):
    project = lived_in(root, tmp_path)
    project.erasures.forget("people", subject())
    again = project.erasures.forget("people", subject())
    assert (
        again.held["datasets"],
        again.held["captures"],
        again.held["labels"],
        again.held["tables"],
        again.held["dropped"],
    ) == ({}, {}, {}, 0, 0)
    assert again.held["models"] == ["models:/delay@1"]


def test_bad_rows_with_the_subject_leave_the_quarantine(root, tmp_path):
    project = Project.open(root)
    good = "".join(f"c{n},{n}\n" for n in range(50))
    (tmp_path / "f.csv").write_text(f"customer,amount\n{good}{CANARY},1,extra\nother,1,extra\n")
    project.datasets.add("people", [tmp_path / "f.csv"], Change(mode="replace", max_bad=0.5))
    assert project.erasures.forget("people", subject()).held["quarantine"] == {"people": 1}
    assert [bad.raw.startswith("other") for bad in project.datasets.quarantine("people")] == [True]
    assert not files_with(root, [CANARY])


def test_rows_that_are_committed_meanwhile_are_kept(root):
    project = Project.open(root)
    project.datasets.commit("people", people(*(f"c{n}" for n in range(200)), CANARY))
    failures, added, meanwhile, busy = [], [], [], threading.Event()

    def write():
        mine = Project.open(root)
        for number in range(6):  # a bounded number: each forget writes the whole history anew
            name = f"new-{number}"
            try:
                mine.datasets.commit("people", people(name, CANARY) if number % 3 == 0 else people(name), "append")
            except Exception as error:  # noqa: BLE001
                failures.append(error)
                return
            added.append(name)
            meanwhile.append(busy.is_set())

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        busy.set()
        Project.open(root).erasures.forget("people", subject())
        busy.clear()
    assert not failures
    assert any(meanwhile)
    Project.open(root).erasures.forget("people", subject())
    left = Project.open(root).datasets.scan("people").collect()["customer"].to_list()
    assert CANARY not in left
    assert set(added) <= set(left)
    healthy(Project.open(root))


@pytest.mark.faults
def test_a_server_that_writes_on_loses_no_prediction_and_keeps_no_file_with_the_subject(root, tmp_path):
    project = lived_in(root, tmp_path)
    inputs = INPUTS
    header = Header(endpoint="delay", revision=1, model="delay", version=1, bundle="b", inputs=inputs, outputs=("p",))
    writer, stop, written = CaptureWriter(project.captures.folder("delay"), header), threading.Event(), []
    writer.write([(prediction(99, CANARY), 1)])

    def serving():
        n = 1000
        while not stop.is_set():
            writer.write([(prediction(n, f"c{n}"), 1)])
            written.append(f"p{n}")
            n += 1
            if n % 20 == 0:
                writer.sync()
            stop.wait(0.01)

    thread = threading.Thread(target=serving)
    thread.start()
    project.erasures.forget("people", subject())
    stop.set()
    thread.join()
    assert not raw(root)
    writer.close()
    found = set(Project.open(root).captures.scan("delay").collect()["prediction_id"].to_list())
    assert found == {"p1", *written}


def test_an_idle_servers_segment_goes_and_it_writes_to_another_one_later(root, tmp_path):
    project = lived_in(root, tmp_path)
    folder = project.captures.folder("delay")
    header = Header(endpoint="delay", revision=1, model="delay", version=1, bundle="b", inputs=(), outputs=("p",))
    writer = CaptureWriter(folder, header)
    writer.write([(prediction(99, CANARY), 1)])
    drain(folder, project.tables)
    assert not list(folder.glob("*.log"))
    writer.sync()
    writer.write([(prediction(100, "other"), 1)])
    writer.close()
    assert {"p99", "p100"} <= set(project.captures.scan("delay").collect()["prediction_id"].to_list())


def test_a_label_by_the_clients_own_id_is_erased_with_its_prediction(root, tmp_path):
    project = lived_in(root, tmp_path)
    header = Header(endpoint="delay", revision=1, model="delay", version=1, bundle="b", inputs=INPUTS, outputs=("p",))
    writer = CaptureWriter(project.captures.folder("delay"), header)
    mine = msgspec.structs.replace(decode_record(prediction(7, CANARY)), request_id="order-77")
    writer.write([(encode(mine), 1)])
    writer.close()
    project.labels.add("delay", [{"prediction_id": "order-77", "label": True}])
    project.erasures.forget("people", subject())
    assert "order-77" not in project.labels.scan("delay").collect()["prediction_id"].to_list()
    assert "order-77" not in project.captures.scan("delay").collect()["client_request_id"].to_list()


# -- killed ----------------------------------------------------------------------------------------------------------------


KILLED = """
import os, signal, sys
from pathlib import Path
from mlopsfw.project.facade import Project
from mlopsfw.governance.subject import Subject
project = Project.open(Path(sys.argv[1]))
storage, left = project.storage, [int(sys.argv[2])]
def mortal(call):
    def called(*args, **options):
        left[0] -= 1
        if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return called
for name in ("put", "put_if_absent", "delete"): setattr(storage, name, mortal(getattr(storage, name)))
project.erasures.forget("people", Subject("customer", sys.argv[3], bytes.fromhex("cd" * 32)))
"""


@pytest.mark.faults
@pytest.mark.slow
def test_kill_9_anywhere_is_finished_by_running_it_again(root, tmp_path):
    lived_in(root, tmp_path).close()
    kills = 0
    for call in (0, 1, 2, 4, 6, 9, 13, 18, 24, 30, 36, 44):
        status = subprocess.run(
            [sys.executable, "-c", KILLED, str(root), str(call), CANARY], check=False, env=os.environ
        )
        if status.returncode == 0:
            break
        assert status.returncode == -signal.SIGKILL
        kills += 1
        assert Project.open(root).erasures.unfinished() or call == 0
    assert kills >= 6
    project = Project.open(root)
    done = project.erasures.forget("people", subject())
    assert done.held["models"] == ["models:/delay@1"]
    assert not files_with(root, [CANARY])
    assert not project.erasures.unfinished()
    healthy(project)
    assert [project.datasets.scan("people", v).collect().height for v in (1, 2, 3, 4)] == [2, 3, 4, 1]


# -- what is asked ---------------------------------------------------------------------------------------------------------


def test_an_unknown_dataset_or_column_and_a_missing_key_are_named(root):
    project = Project.open(root)
    project.datasets.commit("people", people("a"))
    with pytest.raises(UnknownName, match="customer"):
        project.erasures.forget("people", subject(column="custommer"))
    with pytest.raises(UnknownName):
        project.erasures.forget("peeple", subject())
    with pytest.raises(ConfigError, match="the key to prove an erasure is missing"):
        Subject("customer", "x", b"")
    for text in ("", "customer", "customer=", "=x"):
        with pytest.raises(UsageError):
            parse(text)


@pytest.mark.parametrize("text", ["", "Ada", "ann-b"])
def test_a_further_text_too_short_to_be_looked_for_is_refused_and_not_shown(root, text, capsys):
    """It was passed over, and the erasure seemed to have looked for it."""
    from mlopsfw.cli import run

    project = Project.open(root)
    project.datasets.commit("people", people("a"))
    with pytest.raises(UsageError, match="at least 6 characters") as caught:
        subject(words=(CANARY, text))
    assert not text or text not in str(caught.value)
    forget = ["--project", str(root), "data", "forget", "people", "--key", "customer=a", "--yes"]
    assert run([*forget, "--text", text]) == 2
    assert "at least 6 characters" in capsys.readouterr().err
    assert project.datasets.scan("people").collect().height == people("a").height


def test_the_verb_looks_for_further_texts_and_for_those_of_a_file_one_a_line(root, tmp_path, capsys):
    from mlopsfw.cli import run

    project = Project.open(root)
    project.datasets.commit("people", people(CANARY, "other"))
    for number, text in enumerate(("A. Lovelace", "Ada Lovelace", "ada@example.org", "Bob Babbage")):
        (root / ".mlopsfw" / f"notes-{number}").write_text(f"for {text} only")
    (tmp_path / "texts").write_text("Ada Lovelace\n\nada@example.org\r\n")
    forget = ["--project", str(root), "data", "forget", "people", "--key", f"customer={CANARY}", "--yes", "--json"]
    assert run([*forget, "--text", "A. Lovelace", "--text-file", str(tmp_path / "texts")]) == 0
    remaining = json.loads(capsys.readouterr().out)["remaining"]
    assert sorted(file[-7:] for file in remaining) == ["notes-0", "notes-1", "notes-2"]


def test_the_verb_takes_the_key_from_a_file_asks_first_and_prints_json(root, tmp_path, capsys):
    from mlopsfw.cli import run

    project = Project.open(root)
    project.datasets.commit("people", people(CANARY, "other"))
    (tmp_path / "key").write_text(f"customer={CANARY}\n")
    arguments = ["--project", str(root), "data", "forget", "people", "--key-file", str(tmp_path / "key")]
    assert run([*arguments, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["datasets"] == {"people": {"1": 1}}
    assert run([*arguments, "--yes", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["datasets"] == {"people": {"1": 1}}
    assert CANARY not in out
    assert run(["--project", str(root), "audit", "verify"]) == 0


# -- the search itself -----------------------------------------------------------------------------------------------------


def test_the_search_finds_a_text_however_it_is_packed_and_not_within_another_word(tmp_path):
    frame = people(CANARY)
    frame.write_parquet(tmp_path / "a.parquet", compression="zstd")
    frame.write_ipc(tmp_path / "b.arrow", compression="zstd")
    (tmp_path / "c.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", CANARY * 1 + " ")
    (tmp_path / "e.txt").write_text(f"id={CANARY},")
    assert [file.name for file in files_with(tmp_path, [CANARY])] == ["a.parquet", "b.arrow", "c.gz", "d.zip", "e.txt"]
    (tmp_path / "f.txt").write_text(f"{CANARY}9 x{CANARY}")
    assert "f.txt" not in [file.name for file in files_with(tmp_path, [CANARY])]


@pytest.mark.parametrize("what", ["a password", "damage", "the same name"])
def test_a_part_of_a_zip_file_that_cannot_be_read_hides_no_other_part(tmp_path, what):
    with (
        zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        warnings.catch_warnings(action="ignore"),
    ):
        archive.writestr("a", "other" * 100)
        archive.writestr("b", f"of {CANARY} " * 10)
        if what == "the same name":
            archive.writestr("b", "other")
    data = bytearray((tmp_path / "d.zip").read_bytes())
    data[data.index(b"PK\1\2") + 8] |= what == "a password"
    data[31] |= 255 * (what == "damage")  # where the first part begins
    (tmp_path / "d.zip").write_bytes(data)
    assert [file.name for file in files_with(tmp_path, [CANARY])] == ["d.zip"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab -", max_size=24), st.lists(st.text("ab-", min_size=1, max_size=4), min_size=1, max_size=2))
def test_a_file_searched_in_pieces_is_searched_as_a_whole(monkeypatch, text, words):
    monkeypatch.setattr(search, "_PIECE", 3)
    wanted = search.pattern(words)
    assert search._stands_in(io.BytesIO(text.encode()), wanted) == bool(wanted.text.search(text.encode()))


@pytest.mark.parametrize(
    "kind", [pl.Int64, pl.UInt32, pl.Float64, pl.Float32, pl.String, pl.Decimal(20, 2), pl.List(pl.Int64)]
)
def test_a_number_is_found_in_a_table_as_it_would_be_read(tmp_path, kind):
    there, near = (pl.Series("x", [1234567, number, 0]) for number in (4000001, 4000011))
    for name, column in (("there", there), ("near", near)):
        kept = column.implode().cast(kind) if kind == pl.List(pl.Int64) else column.cast(kind)
        kept.to_frame().write_ipc(tmp_path / f"{name}.arrow", compression="zstd")
    assert files_with(tmp_path, ["4000001"]) == [tmp_path / "there.arrow"]
    assert files_with(tmp_path, ["400000"]) == []


def test_what_may_hold_rows_is_what_the_records_mark_and_not_what_is_called_like_it(project):
    a, b, c, d = (letter * 64 for letter in "abcd")
    stream = project.ledger.stream("run/a")
    artifact = {"kind": "table", "digest": a, "blob": a}
    stream.append(RunStarted(kind="script", config=d, params={"logs": a, "report": a, "rows": artifact}))
    stream.append(StepFailed(step="s", attempt=1, error="E", message="", logs=b, traceback=c))
    stream.append(PlainRecord("run.paused", {"logs": d}))
    assert sorted(searchable(stream.events(), project.event_types)) == [(b, "text"), (c, "text")]
