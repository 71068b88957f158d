"""`mlopsfw import mlflow`: runs and models of real stores come over once, and nothing outside of the store is opened."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sqlite3
from pathlib import Path

import polars as pl
import pytest

import mlopsfw
from mlopsfw.cli import run as cli
from mlopsfw.kernel.base.errors import BundleError, DataError, UsageError
from mlopsfw.models.mlflow_model import read_yaml
from mlopsfw.project.facade import Project
from mlopsfw.project.mlflow.importing import Choices, import_mlflow, open_store
from mlopsfw.project.mlflow.places import Places

pytest.importorskip("yaml")
pytestmark = pytest.mark.usefixtures("in_this_process")
STORES = Path(__file__).parent / "mlflow_store"


def database(folder: Path) -> Path:
    """Make the database, with the artifacts where a copy of the store would have them."""
    file = folder / "mlflow.db"
    with sqlite3.connect(file) as db:
        db.executescript((STORES / "mlflow.sql").read_text())
        run = db.execute("SELECT run_uuid FROM runs WHERE name = 'first'").fetchone()[0]
    db.close()
    (source,) = STORES.glob("mlruns3/*/*/artifacts/a.json")
    shutil.copytree(source.parent, folder / "mlartifacts" / run / "artifacts")
    return file


def copied(name: str, folder: Path) -> Path:
    return database(folder) if name == "database" else shutil.copytree(STORES / name, folder / "mlruns")


@pytest.fixture(params=["mlruns2", "mlruns3", "database"])
def store(request, tmp_path) -> Path:
    """A copy of a store: its paths lead to the machine where it was made."""
    return copied(request.param, tmp_path)


def imported(project, store, **choices):
    return import_mlflow(project, open_store(str(store)), Choices(**choices))


def test_runs_come_over_with_parameters_metrics_tags_artifacts_status_and_times(project, store):
    result = imported(project, store)
    assert [run.state for run in result.runs] == ["new", "new"]  # the deleted one stays away
    first, second = (project.runs.get(run.run) for run in result.runs)
    assert (first.pipeline, first.status, second.status) == ("delay", "done", "failed")
    assert first.started[:10] in ("2026-11-29", "2026-11-30")
    named = {"mlflow_run": result.runs[0].mlflow, "mlflow_name": "first"}
    assert first.params == {**named, "rate": 0.1, "layers": 2, "tag team": "flights"}
    losses = [metric for metric in project.runs.metrics(first.id) if metric.name == "loss"]
    assert [(metric.step, metric.number) for metric in losses[:2]] == [(0, 0.9), (1, 0.5)]
    assert math.isnan(losses[2].number)
    assert abs(losses[0].time - 1796e6) < 1e5
    assert {"a.json", "notes"} <= set(first.artifacts)
    folder = project.values.load(project.runs.artifact(f"runs:/{first.id}/notes"))
    assert (folder / "hello.txt").read_text() == "hello"
    shutil.rmtree(folder)


def test_a_second_import_adds_nothing_and_one_that_stopped_goes_on(project, store, monkeypatch):
    whole = project.ledger.stream
    with monkeypatch.context() as patch:
        patch.setattr("mlopsfw.project.mlflow.importing.ArtifactLogged", None)  # the first artifact ends the import
        with pytest.raises(TypeError):
            imported(project, store)
    result = imported(project, store)
    events = [event.type for event in whole(f"run/{result.runs[0].run}").events()]
    assert (events.count("run.started"), events.count("metrics.segment"), events[-1]) == (1, 1, "run.finished")
    assert events.count("run.artifact") >= 2
    before = {name: len(list(whole(name).events())) for name in project.ledger.streams()}
    again = imported(project, store)
    assert {run.state for run in again.runs} == {"present"}
    assert {name: len(list(whole(name).events())) for name in project.ledger.streams()} == before


@pytest.mark.parametrize("name", ["mlruns3", "database"])
def test_models_of_an_open_format_come_over_with_run_and_aliases_and_others_are_named(project, tmp_path, name):
    pytest.importorskip("lightgbm")
    store = copied(name, tmp_path)
    result = imported(project, store)
    first, second = result.models
    assert (first.mlflow, first.ref, first.aliases, first.state) == ("delay/1", "models:/delay@1", ("champion",), "new")
    assert (second.state, second.ref) == ("skipped", "")
    assert "file:///etc is not in" in second.why
    version = project.registry.resolve("models:/delay")
    assert version.run == result.runs[0].run
    with mlopsfw.load_model("models:/delay", project=project) as model:
        assert (
            model.predict(pl.DataFrame({"distance": [2.0, -2.0], "wind": [2.0, -2.0]}))["probability"].sort().len() == 2
        )
    assert [each.state for each in imported(project, store).models] == ["present", "skipped"]


def test_observers_get_one_event_for_all_runs_and_those_that_follow_as_ever(project, store):
    seen = []
    with Project.open(project.root, observe=seen.append) as observed:
        result = imported(observed, store)
        ids = sorted(run.run for run in result.runs)
        of_runs = [event for event in seen if event.stream.startswith(("run/", "import/"))]
        assert [(event.type, event.body) for event in of_runs] == [
            ("runs.imported", {"runs": 2, "first": ids[0], "last": ids[1]})
        ]
        imported(observed, store)
        assert [event for event in seen if event.stream.startswith("import/")] == of_runs  # nothing new, no event
        with mlopsfw.start_run(project=observed):
            pass
        assert [event.type for event in seen[-2:]] == ["run.started", "run.finished"]


def test_a_dry_run_writes_nothing(project, store):
    result = imported(project, store, dry_run=True)
    assert [run.state for run in result.runs] == ["new", "new"]
    assert (project.runs.ids(), project.registry.names()) == ([], [])


def test_what_a_store_says_of_places_leads_nowhere_else(project, tmp_path):
    root = tmp_path / "root"
    (root / "1" / "r1" / "artifacts").mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    (root / "link").symlink_to(tmp_path / "secret")
    places = Places(root)
    own = str(root / "1" / "r1" / "artifacts")
    assert places.find("/elsewhere/1/r1/artifacts", "r1") == Path(own)
    assert places.find("runs:/r1/", own=own) == Path(own)
    for uri in ("file:///etc/passwd", "/etc", f"{root}/../secret", f"{root}/link", "../secret", "file:../secret"):
        with pytest.raises(DataError, match="is not in"):
            places.find(uri, "r1")
    for uri in ("runs:/r1/../../../../secret", "mlflow-artifacts:/../secret", "models:/../../secret"):
        with pytest.raises(DataError, match="is not in"):
            places.find(uri, own=own)
    for uri in ("s3://bucket/a", "dbfs:/a", "http://127.0.0.1/a"):
        with pytest.raises(DataError, match="another machine"):
            places.find(uri)


def test_a_link_or_a_large_artifact_is_left_out_and_named(project, tmp_path):
    store = copied("mlruns3", tmp_path)
    (folder,) = (file.parent for file in store.glob("*/*/artifacts/a.json"))
    (folder / "notes" / "link").symlink_to("/etc/passwd")
    (folder / "big.bin").write_bytes(b"1" * (2 << 20))
    result = imported(project, store, most=1 << 20)
    assert [why.partition(":")[0] for why in result.runs[0].why] == ["artifact big.bin", "artifact notes"]
    assert set(project.runs.get(result.runs[0].run).artifacts) == {"a.json", "model"}


def test_a_run_that_goes_on_waits_for_its_end_unless_asked_for(project, tmp_path):
    store = copied("mlruns3", tmp_path)
    (meta,) = (file for file in store.glob("*/*/meta.yaml") if "run_name: second" in file.read_text())
    meta.write_text(meta.read_text().replace("status: 4", "status: 1"))
    assert imported(project, store).runs[1].state == "skipped"
    result = imported(project, store, unfinished=True)
    assert project.runs.get(result.runs[1].run).status == "interrupted"


def test_a_nested_run_names_its_parent_and_the_commit_of_the_code_is_kept(project, tmp_path):
    store = copied("mlruns3", tmp_path)
    (meta,) = (file for file in store.glob("*/*/meta.yaml") if "run_name: second" in file.read_text())
    tags = {"mlflow.parentRunId": "p1", "mlflow.source.git.commit": "a" * 40, "mlflow.user": "ada"}
    for name, text in tags.items():
        (meta.parent / "tags" / name).write_text(text)
    view = project.runs.get(imported(project, store).runs[1].run)
    assert (view.params["mlflow_parent"], view.facts.code.commit) == ("p1", "a" * 40)
    assert "ada" not in str(view)


def test_the_verb_sums_up_and_the_other_import_has_its_short_form(project, tmp_path, capsys):
    store, here = copied("mlruns2", tmp_path), ["--project", str(project.root)]
    assert cli([*here, "import", "mlflow", str(store)]) == 0
    assert "runs: 2 imported" in capsys.readouterr().out
    assert cli([*here, "import", "mlflow", f"sqlite:///{database(tmp_path)}", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dry_run"] is True
    assert cli([*here, "export", str(tmp_path / "copy")]) == 0
    assert cli([*here, "import", str(tmp_path / "copy")]) == 0
    assert cli([*here, "import", "project", str(tmp_path / "copy"), "--json"]) == 0
    assert cli([*here, "import", "--json", str(tmp_path / "copy")]) == 0


def test_yaml_whose_aliases_multiply_is_refused(tmp_path):
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]
    (tmp_path / "meta.yaml").write_text("\n".join(lines))
    with pytest.raises(BundleError, match="many aliases"):
        read_yaml(tmp_path / "meta.yaml")


@pytest.mark.parametrize("what", ["none", "folder", "text", "other"])
def test_what_is_no_store_is_an_error(tmp_path, what):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no database")
    sqlite3.connect(tmp_path / "other").execute("CREATE TABLE a (b)").connection.close()
    with pytest.raises(UsageError):
        open_store(str(tmp_path / what))


def test_an_imported_run_sorts_by_its_own_time(project, store):
    with mlopsfw.start_run("now", project=project) as run:
        pass
    result = imported(project, store)
    assert project.runs.ids()[0] == run.id
    assert [record["run"] for record in project.runs.search("delay")] == sorted(
        (r.run for r in result.runs), reverse=True
    )


def run_folder(store: Path) -> Path:
    (meta,) = (file for file in store.glob("*/*/meta.yaml") if "run_name: first" in file.read_text())
    return meta.parent


@pytest.mark.parametrize("folder", ["params", "tags", "metrics"])
def test_a_link_in_place_of_a_folder_of_a_run_is_not_followed(project, tmp_path, folder):
    store, secret = copied("mlruns3", tmp_path), tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("1796000000000 0.125 7")
    shutil.rmtree(run_folder(store) / folder)
    (run_folder(store) / folder).symlink_to(secret)
    view = project.runs.get(imported(project, store).runs[0].run)
    assert "0.125" not in f"{view.params}{[metric.number for metric in project.runs.metrics(view.id)]}"


def test_a_link_in_place_of_the_folder_of_models_is_not_followed(project, tmp_path):
    store = copied("mlruns3", tmp_path)
    (store / "models").rename(tmp_path / "elsewhere")
    (store / "models").symlink_to(tmp_path / "elsewhere")
    assert imported(project, store).models == ()


HUGE = "1" + "0" * 400
ODD = {
    "a start after all calendars": ("meta.yaml", r"start_time: \d+", f"start_time: {HUGE}"),
    "an end after all calendars": ("meta.yaml", r"end_time: \d+", f"end_time: {HUGE}"),
    "a metric after all calendars": ("metrics/auc", r"^\d+", HUGE),
    "a step beyond 64 bits": ("metrics/auc", r"\d+$", HUGE),
    "an address of no host": ("meta.yaml", "artifact_uri: .*", "artifact_uri: http://[x"),
    "a zero byte in a place": ("meta.yaml", "artifact_uri: .*", "artifact_uri: file:/a%00b"),
    "a place of a long name": ("meta.yaml", "artifact_uri: .*", f"artifact_uri: /{'a' * 5000}"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_a_file_says_oddly_ends_no_import(project, tmp_path, what):
    store = copied("mlruns3", tmp_path)
    name, old, new = ODD[what]
    file = run_folder(store) / name
    changed = re.sub(old, new, file.read_text(), count=1)
    assert changed != file.read_text()
    file.write_text(changed)
    if "artifact_uri" in new:
        shutil.rmtree(run_folder(store) / "artifacts")
    assert [run.state for run in imported(project, store).runs] == ["new", "new"]


@pytest.mark.parametrize(
    "said", ["flavors: [1]", 'flavors: {lightgbm: {data: "a\\0"}}', f"flavors: {{onnx: {{data: {'x' * 5000}}}}}"]
)
def test_a_model_folder_that_names_no_file_is_skipped(project, tmp_path, said):
    store = copied("mlruns3", tmp_path)
    for file in store.glob("**/MLmodel"):
        file.write_text(said)
    assert imported(project, store).models[0].state == "skipped"


@pytest.mark.parametrize("source", ["/a%00b", "//[x", "/x/**a/artifacts"])
def test_a_source_that_is_no_place_is_skipped(tmp_path, source):
    with pytest.raises(DataError, match=r"is no place|is not in"):
        Places(tmp_path).find(source, "**a")


def test_a_pipe_among_the_artifacts_is_left_out_and_named(project, tmp_path):
    store = copied("mlruns3", tmp_path)
    os.mkfifo(run_folder(store) / "artifacts" / "pipe")
    assert "no plain file" in str(imported(project, store).runs[0].why)


def test_models_whose_names_are_one_here_are_not_mixed(project, tmp_path):
    pytest.importorskip("lightgbm")
    store = copied("mlruns3", tmp_path)
    shutil.copytree(store / "models" / "delay", store / "models" / "Delay")
    for meta in (store / "models" / "Delay").glob("**/meta.yaml"):
        meta.write_text(meta.read_text().replace("name: delay", "name: Delay"))
    states = {(each.mlflow, each.state): each.why for each in imported(project, store, dry_run=True).models}
    assert "it would be called delay, as 'Delay' is" in states["delay/1", "skipped"]


def test_a_database_that_is_damaged_or_of_another_version_is_said_to_be(project, tmp_path):
    file = copied("database", tmp_path)
    with sqlite3.connect(file) as db:
        db.execute("UPDATE params SET value = CAST(x'ff61' AS TEXT)")
    assert imported(project, file).runs[0].state == "new"
    with sqlite3.connect(file) as db:
        db.execute("ALTER TABLE runs RENAME COLUMN artifact_uri TO other")
    with pytest.raises(UsageError, match="artifact_uri"):
        imported(project, file)
