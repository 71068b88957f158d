"""Doctor names what is wrong, and the verbs of the store do what they say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mlopsfw.cli import run
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.config.model import Retention
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.ledger.layout import entry_key
from mlopsfw.kernel.plugins.catalog import Catalog
from mlopsfw.kernel.plugins.manager import PluginManager
from mlopsfw.kernel.store.blobs import key_of
from mlopsfw.operations.checks import startup_files
from mlopsfw.pipeline.run.events import RunStarted
from mlopsfw.project.facade import Project


@pytest.fixture
def filled(project):
    blob = project.blobs.put(b"data")
    project.ledger.stream("run/a").append(PlainRecord("run.started", {"pipeline": "p", "config": blob}))
    project.ledger.stream("run/a").seal(PlainRecord("run.finished", {"status": "done"}))
    project.ledger.stream("model/delay").append(PlainRecord("version.registered", {"version": 1, "bundle": blob}))
    project.index.refresh()
    return project


@pytest.fixture
def mlopsfw(project, capsys):
    def call(*args):
        code = run(["--project", str(project.root), *args])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def found(project, check, **options):
    return [f for f in project.doctor.examine(**options) if f.check == check and f.level != "ok"]


CHECKS = [check.name for check in Project(Path(), ProjectConfig(name="any")).doctor.checks()]


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_project_has_no_complaints(filled, check):
    assert found(filled, check, verify=True) == []


def test_every_check_comes_from_checks_py_of_the_room_whose_component_contributes_it():
    contributed = [(c.name, check) for c in Project(Path(), ProjectConfig(name="any")).components for check in c.checks]
    assert {name for name, _ in contributed} == {
        "operations",
        "datasets",
        "governance",
        "alerts",
        "endpoints",
        "models",
        "secrets",
    }
    for _, check in contributed:
        assert check.ask.__module__.rpartition(".")[2] == "checks", check.name
    assert {check.name for _, check in contributed} == set(CHECKS)


def test_thorough_checks_are_asked_last():
    thorough = [check.thorough for check in Project(Path(), ProjectConfig(name="any")).doctor.checks()]
    assert thorough == sorted(thorough)
    assert thorough[-1]


def test_a_project_whose_pipeline_has_run_is_sound(make_project, capsys):
    made = make_project('[steps.one]\npython = "one:run"\n', one="def run():\n    return {'answer': 42}\n")
    assert run(["--project", str(made.root), "run"]) == 0
    assert run(["--project", str(made.root), "doctor"]) == 0, capsys.readouterr().out


def test_doctor_names_every_option_that_a_run_would_refuse_with_its_line_and_the_sound_ones_are_no_complaint(
    make_project,
):
    tables = ("trainer.torch", "engine.local", "deployer.http", "format.csv", "source.http", "secrets.vault")
    toml = "".join(f"[{table}]\nbogus = 1\n" for table in tables)
    project = make_project(f'{toml}[[monitor]]\nuse = "drift"\nbogus = 1\n[metric.auc]\n')
    complaints = [each.message for each in found(project, "plugins")]
    keys = {f"{table}.bogus" for table in (*tables, "monitor.0")}
    assert {key for key in keys if any(f"{key}: unknown key" in text for text in complaints)} == keys
    assert len(complaints) == len(keys)


def test_verify_names_every_flipped_blob(filled):
    digests = [filled.blobs.put(b"blob %d" % n) for n in range(5)]
    for digest in digests[1:4]:
        data = filled.storage.get(key_of(digest))
        filled.storage.put(key_of(digest), bytes([data[0] ^ 4]) + data[1:])
    assert found(filled, "blobs") == []
    named = found(filled, "blobs", verify=True)
    assert sorted(f.message.split()[1] for f in named) == sorted(digests[1:4])
    assert {f.level for f in named} == {"error"}


def test_a_missing_blob_is_named_with_the_event_that_refers_to_it(filled):
    filled.storage.delete(next(filled.storage.list("objects/")).key)
    assert [f.message.split(" refers")[0] for f in found(filled, "references")] == [
        "model/delay #1 (version.registered)",
        "run/a #1 (run.started)",
    ]


def test_a_digest_that_a_script_gave_as_a_parameter_is_no_blob_that_is_missing(project):
    params = {"config": "a" * 64, "report": "b" * 64, "nested": {"blob": "c" * 64}}
    project.ledger.stream("run/a").append(RunStarted(kind="script", params=params))
    assert found(project, "references") == []


def test_the_missing_index_of_a_set_of_files_is_named_and_the_one_of_a_vacuumed_version_is_not(project, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    first, second = (project.filesets.add("texts", tmp_path / name) for name in ("first", "second"))
    project.version_removal.vacuum("texts", Retention(keep=1))
    project.storage.delete(key_of(first.index))
    assert found(project, "references") == []
    project.storage.delete(key_of(second.index))
    (complaint,) = found(project, "references")
    assert complaint.message == f"dataset/texts #2 (dataset.committed) refers to blob {second.index}, which is missing"


OBSERVER = "from mlopsfw import hookimpl\n@hookimpl\ndef mlopsfw_event(event): ..."


@pytest.mark.parametrize("installed", [True, False])
def test_events_of_a_type_that_no_component_declares_are_named_and_a_warning_where_their_plugin_is_gone(
    project, install_plugin, installed
):
    for number in range(2):
        body = {"rows": "a" * 64, "n": number}
        project.ledger.stream("plugin/observer.acme/x").append(
            PlainRecord("plugin.observer.acme.seen", body), plugin="observer.acme"
        )
    if installed:
        install_plugin(OBSERVER, "observer.acme")
        project.plugins = PluginManager(Catalog())
    answers = [
        f for f in project.doctor.examine() if f.check == "references" and "plugin.observer.acme.seen" in f.message
    ]
    (answer,) = answers
    assert answer.level == ("ok" if installed else "warning")
    assert answer.message.startswith("no installed component declares the type plugin.observer.acme.seen (2 events)")
    assert installed or "Install the plugin 'observer.acme'" in answer.hint


def test_an_event_of_another_release_is_a_warning_and_one_that_is_not_believed_is_the_ledgers_business(project):
    project.ledger.stream("run/a").append(PlainRecord("run.paused", {"blob": "a" * 64}))
    project.ledger.stream("run/a").append(PlainRecord("run.heartbeat", {}))
    (complaint,) = found(project, "references")
    assert (complaint.level, "run.paused (1 event)" in complaint.message) == ("warning", True)
    assert complaint.hint.startswith("Install the mlopsfw that wrote them")


def test_a_changed_entry_is_named(filled):
    filled.storage.put(entry_key("model/delay", 1), b"{}")
    (complaint,) = found(filled, "ledger")
    assert "model/delay #1" in complaint.message


@pytest.mark.parametrize(
    ("event", "words", "field"),
    [
        (("run/b", "run.started"), ("runs", "list"), "config"),
        (("dataset/flights", "dataset.committed"), ("data", "log", "flights"), "version"),
        (("model/noise", "version.registered"), ("models", "list"), "version"),
        (("alerts", "alert.raised"), ("alerts", "list"), "alert"),
        (("monitor/delay", "window.examined"), ("index", "list", "windows"), "start"),
        (("endpoint/delay", "endpoint.wanted"), ("endpoints", "list"), "model"),
    ],
)
def test_a_malformed_event_is_named_with_stream_and_number_by_the_verb_that_reads_it_and_by_the_audit(
    project, mlopsfw, event, words, field
):
    stream, type_ = event
    project.ledger.stream(stream).append(PlainRecord(type_, {field: [{}]}))
    named = f"{stream} #1: the body of {type_} is malformed: "
    code, _, err = mlopsfw(*words)
    assert code == 1
    assert named in err
    code, out, _ = mlopsfw("audit", "verify")
    assert code == 1
    assert named in out
    assert [complaint.message.startswith(named) for complaint in found(project, "ledger")] == [True]


def test_an_index_that_says_something_else_is_named(filled):
    filled.index._connection().execute("UPDATE runs SET status = 'failed'")
    assert [f.message for f in found(filled, "index", verify=True)] == ["the index differs from the ledger in runs"]


def test_a_state_folder_that_others_can_enter_is_a_warning(filled):
    filled.state.chmod(0o755)
    assert [f.level for f in found(filled, "machine")] == ["warning"]


def test_files_that_run_code_whenever_python_starts_are_listed_with_the_code(tmp_path, monkeypatch):
    (tmp_path / "hostile.pth").write_text("# harmless\n/somewhere\nimport os; os.system('id')\n")
    (tmp_path / "folders.pth").write_text("/somewhere\n# import os\n")
    monkeypatch.setattr("site.getsitepackages", lambda: [str(tmp_path)])
    (listed,) = startup_files()
    assert "hostile.pth runs code" in listed.message
    assert "import os; os.system('id')" in listed.message


def test_under_any_umask_nobody_else_can_enter_what_a_project_keeps(make_project, tmp_path):
    before = os.umask(0)
    try:
        project = make_project('[steps.a]\npython = "a:run"\n', a="def run(): return 1\n")
        assert run(["--project", str(project.root), "run"]) == 0
        assert run(["--project", str(project.root), "runs", "list"]) == 0
        assert run(["--project", str(project.root), "export", str(tmp_path / "copy")]) == 0
    finally:
        os.umask(before)
    for folder in (project.root / ".mlopsfw", tmp_path / "copy"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_doctor_leaves_nothing_behind(filled):
    before = [entry.key for entry in filled.storage.list()]
    list(filled.doctor.examine(verify=True))
    assert [entry.key for entry in filled.storage.list()] == before
    assert list((filled.state / "doctor").iterdir()) == []


# -- verbs ----------------------------------------------------------------------------------------------------------------------


def test_doctor_fails_when_there_are_errors(filled, mlopsfw):
    filled.storage.put(next(filled.storage.list("objects/")).key, b"rotten")
    code, out, err = mlopsfw("doctor", "--verify", "--json")
    assert code == 1
    assert "error" in err
    assert any(f["check"] == "blobs" and f["level"] == "error" for f in json.loads(out))


def test_doctor_lists_what_it_asks(mlopsfw):
    code, out, _ = mlopsfw("doctor", "--list", "--json")
    assert code == 0
    assert [row["check"] for row in json.loads(out)] == CHECKS


def test_audit_verifies_and_shows(filled, mlopsfw):
    assert mlopsfw("audit", "verify")[:2] == (
        0,
        "3 events in 2 streams, 0 problems in what is here. A cut tail cannot be excluded without a checkpoint.\n",
    )
    code, out, _ = mlopsfw("audit", "show", "run/a", "--json")
    assert code == 0
    assert [event["type"] for event in json.loads(out)] == ["run.started", "run.finished"]
    code, _, err = mlopsfw("audit", "show", "run/b")
    assert code == 2
    assert "run/a" in err
    filled.storage.delete(entry_key("model/delay", 1))
    filled.storage.put(entry_key("model/delay", 2), b"{}")
    code, out, _ = mlopsfw("audit", "verify")
    assert code == 1
    assert "model/delay #2" in out


def test_index_is_rebuilt_shown_and_asked(filled, mlopsfw):
    assert mlopsfw("index", "rebuild")[:2] == (0, "Derived from 3 events.\n")
    assert {"table": "runs", "rows": 1} in json.loads(mlopsfw("index", "status", "--json")[1])
    assert json.loads(mlopsfw("index", "query", "SELECT run FROM runs", "--json")[1]) == [{"run": "a"}]
    assert mlopsfw("index", "query", "DROP TABLE runs")[0] == 2


def test_gc_says_what_it_deleted(filled, mlopsfw):
    filled.blobs.put(b"orphan")
    assert "1 of 2 blobs would be deleted" in mlopsfw("gc", "--grace", "0", "--dry-run")[1]
    assert json.loads(mlopsfw("gc", "--grace", "0", "--json")[1])["freed"] == 6
    assert mlopsfw("gc", "--grace", "1")[0] == 2


def test_a_project_is_exported_and_imported(filled, mlopsfw, tmp_path, make_project, capsys):
    url = (tmp_path / "copy").as_uri()
    code, out, err = mlopsfw("export", url)
    assert (code, err) == (0, "")
    assert "3 events in 2 streams, and its hash chains are intact" in out
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlopsfw.toml").write_text('[project]\nname = "other"\n')
    assert run(["--project", str(other), "import", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == 3
    assert run(["--project", str(other), "audit", "show", "run/a"]) == 0


def test_a_wrong_place_to_copy_to_is_a_usage_error(filled, mlopsfw):
    assert mlopsfw("export", "gopher://nowhere/x")[0] == 2
    assert mlopsfw("export", "file:x", "--option", "y")[0] == 2
