"""What a notebook calls: runs with parameters, metrics, artifacts and models, found again as a table."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from contextvars import copy_context

import numpy as np
import polars as pl
import pytest

import mlopsfw
from mlopsfw.cli import run as cli
from mlopsfw.kernel.base.errors import (
    BundleError,
    DataError,
    GateRefused,
    SignatureMismatch,
    UnknownFormat,
    UnknownName,
    UsageError,
)
from mlopsfw.kernel.ledger.reader import Reader
from mlopsfw.operations.gc import collect

onnx = pytest.importorskip("onnx")


@pytest.fixture
def model_file(tmp_path):
    """An ONNX file that answers a + 2 b."""
    from onnx import TensorProto as T
    from onnx import helper as h

    column = lambda name: h.make_tensor_value_info(name, T.DOUBLE, ["rows"])  # noqa: E731
    graph = h.make_graph(
        [h.make_node("Add", ["b", "b"], ["twice"]), h.make_node("Add", ["a", "twice"], ["value"])],
        "sum",
        [column("a"), column("b")],
        [column("value")],
    )
    file = tmp_path / "sum.onnx"
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9), file)
    return file


ROWS = pl.DataFrame({"a": np.arange(50.0), "b": np.arange(50.0)[::-1], "y": np.arange(50.0)})


def test_parameters_metrics_and_artifacts_of_a_run_are_found_again(project, tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("three epochs")
    with mlopsfw.start_run("tuning", project=project, params={"rate": 0.1}) as run:
        mlopsfw.log_param("depth", 3)
        mlopsfw.log_params({"kind": "tree", "rate": 0.2})
        mlopsfw.log_metrics({"auc": 0.7, "loss": 0.5}, step=1)
        mlopsfw.log_metric("auc", 0.75, 2)
        mlopsfw.log_artifact(note)
        mlopsfw.log_artifact(ROWS, "rows")
        mlopsfw.log_artifact({"best": [1, 2]}, "best")
    view = project.runs.get(run.id)
    assert view.params == {"rate": 0.2, "depth": 3, "kind": "tree"}
    assert view.metrics == {"auc": 0.75, "loss": 0.5}
    load = lambda name: project.values.load(project.runs.artifact(f"runs:/{run.id}/{name}"))  # noqa: E731
    assert load("note.txt").read_text() == "three epochs"
    assert load("rows").equals(ROWS)
    assert load("best") == {"best": [1, 2]}
    with pytest.raises(UnknownName, match="logged no artifact 'rwos'") as caught:
        project.runs.artifact("runs:/latest/rwos")
    assert "'rows'" in caught.value.hint


@pytest.mark.parametrize("name", ["A.csv", "My Report.csv", "Über.txt", "a+b", "loss (val).png", "f1@0.5", "x" * 200])
def test_an_artifact_is_found_by_the_name_that_was_taken(project, name):
    with mlopsfw.start_run(project=project) as run:
        run.log_artifact([1], name)
    assert project.values.load(project.runs.artifact(f"runs:/{run.id}/{name}")) == [1]


@pytest.mark.parametrize("name", [".", "..", "a/b", "a\\b", " a", "x" * 201, "a\nb", "a\u202eb", "-x", "a:b"])
def test_a_name_that_no_reference_could_take_is_refused(project, name):
    with mlopsfw.start_run(project=project) as run, pytest.raises(UsageError, match="cannot be called"):
        run.log_artifact([1], name)


def test_what_a_run_logged_is_there_after_a_garbage_collection(project):
    with mlopsfw.start_run(project=project) as run:
        run.log_artifact(ROWS, "rows")
    collect(project.storage, project.ledger, grace=0)
    assert project.values.load(project.runs.artifact(f"runs:/{run.id}/rows")).equals(ROWS)


def test_runs_are_a_table(project):
    for rate in (0.1, 0.2):
        with mlopsfw.start_run(
            "tuning", project=project, params={"rate": rate, "mixed": rate if rate > 0.1 else "auto"}
        ) as run:
            run.log_metric("auc", 1 - rate)
    with pytest.raises(ZeroDivisionError), mlopsfw.start_run("other", project=project):
        raise ZeroDivisionError
    found = mlopsfw.search_runs(project=project)
    assert found["name"].to_list() == ["other", "tuning", "tuning"]
    assert found["status"].to_list() == ["failed", "done", "done"]
    assert found["params.rate"].to_list() == [None, 0.2, 0.1]
    assert found["params.mixed"].to_list() == [None, "0.2", "auto"]
    assert found["metrics.auc"].to_list() == [None, 0.8, 0.9]
    assert found.schema["started"] == pl.Datetime("us", "UTC")
    assert mlopsfw.search_runs("tuning", project=project, limit=1)["run"].to_list() == [found["run"][1]]
    assert mlopsfw.search_runs(status="failed", project=project)["name"].to_list() == ["other"]
    with pytest.raises(UsageError, match="no status"):
        mlopsfw.search_runs(status="gone", project=project)
    with pytest.raises(UsageError, match="limit"):
        mlopsfw.search_runs(limit=0, project=project)


def test_without_runs_the_table_is_empty_and_has_its_columns(project):
    found = mlopsfw.search_runs(project=project)
    assert found.columns == ["run", "name", "status", "started", "seconds", "actor"]
    assert found.filter(pl.col("seconds") > 1).is_empty()


def test_a_pipelines_runs_stand_beside_those_of_scripts(bench):
    body = "import mlopsfw\ndef run(rate):\n    mlopsfw.log_metric('loss', rate)\n"
    outcome = bench.write('[steps.a]\npython = "steps:run"\nparams = { rate = 0.5 }\n', steps=body).run()
    with bench.open() as project:
        with mlopsfw.start_run("notebook", project=project) as run:
            run.log_param("rate", 1)
        found = mlopsfw.search_runs(project=project)
    assert found["run"].to_list() == [run.id, outcome.run]
    assert found["params.a.rate"].to_list() == [None, 0.5]
    assert found["metrics.a.loss"].to_list() == [None, 0.5]


def test_options_of_trainers_and_nested_parameters_can_be_searched_and_compared_by_the_names_of_the_file(bench):
    toml = """
[trainer]
use = "deep"
[trainer.deep]
use = "torch"
epochs = {epochs}
[steps.a]
python = "steps:run"
params = {{ folds = {{ by = "{by}" }} }}
"""
    for epochs, by in ((3, "time"), (5, "group")):
        bench.write(toml.format(epochs=epochs, by=by), steps="def run(folds):\n    return 1\n").run()
    with bench.open() as project:
        newest, first = project.runs.ids()
        for where in ("epochs=3", "trainer.deep.epochs<4", "folds.by=time"):
            assert mlopsfw.search_runs(where=where, project=project)["run"].to_list() == [first], where
        assert project.runs.diff(first, newest)["params"] == {
            "steps.a.params.folds.by": ("time", "group"),
            "trainer.deep.epochs": (3, 5),
        }


def test_a_model_is_logged_registered_loaded_and_asked(project, model_file):
    with mlopsfw.start_run("train", project=project) as run:
        version = run.log_model("sum", model_file, rows=ROWS, task="regression", target="y", metrics={"rmse": 0.5})
    assert (version.ref, version.run, version.metrics) == ("models:/sum@1", run.id, {"rmse": 0.5})
    with mlopsfw.load_model("models:/sum@1", project=project) as model:
        asked = pl.DataFrame({"b": [1.0, 2.0], "a": [10.0, 20.0], "more": ["x", "y"]})
        for rows in (asked, asked.lazy(), asked.to_arrow()):
            assert model.predict(rows).to_dict(as_series=False) == {"value": [12.0, 24.0]}
        assert "models:/sum@1: a, b → value" in repr(model)
        with pytest.raises(SignatureMismatch, match="b"):
            model.predict(asked.drop("b"))
        with pytest.raises(UsageError, match="no table"):
            model.predict([1, 2])
    project.registry.promote("sum", 1)
    with mlopsfw.load_model("models:/sum", project=str(project.workspace.root)) as model:
        assert model.version.version == 1


def test_a_model_file_that_cannot_serve_is_refused_with_the_reason(project, model_file, tmp_path):
    log = {"rows": ROWS, "task": "regression", "target": "y"}
    with mlopsfw.start_run(project=project) as run:
        with pytest.raises(UsageError, match="no file"):
            run.log_model("m", tmp_path / "none.onnx", **log)
        with pytest.raises(UnknownFormat, match="dat"):
            run.log_model("m", model_file.rename(tmp_path / "sum.dat"), **log)
        (tmp_path / "sum.dat").rename(model_file)
        with pytest.raises(UsageError, match="no column 'z'"):
            run.log_model("m", model_file, **{**log, "target": "z"})
        with pytest.raises(BundleError):
            run.log_model("m", model_file, rows=ROWS, task="binary", target="y", classes=(False, True))
        with pytest.raises(UsageError, match="model 'Big Name'"):
            run.log_model("Big Name", model_file, **log)
    assert project.registry.names() == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda run: run.log_param("", 1), UsageError),
        (lambda run: run.log_param(5, 1), UsageError),
        (lambda run: run.log_param("x", object()), DataError),
        (lambda run: run.log_params({"x\n": 1}), UsageError),
        (lambda run: run.log_artifact(ROWS), UsageError),
        (lambda run: run.log_artifact(ROWS, "a/b"), UsageError),
        (lambda run: run.log_artifact(ROWS, 5), UsageError),
        (lambda run: run.log_params(None), UsageError),
        (lambda run: run.log_metrics([1]), UsageError),
        (lambda run: run.log_artifact("missing.txt"), DataError),
        (lambda run: run.log_artifact(object(), "x"), DataError),
    ],
)
def test_what_cannot_be_kept_is_refused_and_the_run_goes_on(project, call, error):
    with mlopsfw.start_run(project=project) as run:
        with pytest.raises(error):
            call(run)
        run.log_param("x", 1)
    view = project.runs.get(run.id)
    assert (view.status, view.params, view.artifacts) == ("done", {"x": 1}, {})


def test_infinity_and_no_number_among_parameters_are_not_missing(project):
    with mlopsfw.start_run(project=project) as run:
        run.log_params({"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": None})
    assert project.runs.get(run.id).params == {"a": "nan", "b": ["inf", {"c": "-inf"}], "d": None}


def test_a_metric_that_is_infinite_or_no_number_is_not_missing(project, monkeypatch, capsys):
    for name, value in (("a", math.inf), ("b", math.nan), ("c", 1.0), ("d", math.nan)):
        with mlopsfw.start_run(name, project=project) as run:
            run.log_metrics({"loss": value})
    found = dict(mlopsfw.search_runs(project=project).select("name", "metrics.loss").iter_rows())
    assert (found["a"], found["c"], math.isnan(found["b"])) == (math.inf, 1.0, True)
    ids = {record["name"]: record["run"] for record in project.runs.search()}
    assert project.runs.get(ids["a"]).metrics == {"loss": math.inf}
    assert "metrics" not in project.runs.diff(ids["b"], ids["d"])
    monkeypatch.chdir(project.root)
    assert cli(["runs", "list", "--sort", "metrics.loss", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [record["name"] for record in listed[:2]] == ["c", "a"]
    assert [record["metrics.loss"] for record in listed] == [1.0, "inf", "nan", "nan"]


def test_what_is_no_reference_of_a_model_is_refused_as_one(project):
    for reference in (1, None, ""):
        with pytest.raises(UsageError, match="is not a reference"):
            mlopsfw.load_model(reference, project=project)


def test_of_several_metrics_all_are_recorded_or_none(project):
    with mlopsfw.start_run(project=project) as run:
        with pytest.raises(UsageError, match="the value of 'b' is no number"):
            run.log_metrics({"a": 1, "b": "x"})
        with pytest.raises(UsageError, match="the value of 'b' is no number"):
            mlopsfw.log_metrics({"a": 1, "b": "x"})
    assert not project.runs.get(run.id).metrics


@pytest.mark.parametrize("model", [object(), {"weights": 1}, None, 3, b"model.onnx"])
def test_a_model_that_is_no_file_is_refused_with_the_way_out(project, model):
    with (
        mlopsfw.start_run("x", project=project) as run,
        pytest.raises(UsageError, match=f"takes the file of a model, not a {type(model).__name__}") as refused,
    ):
        run.log_model("m", model, rows=ROWS, task="regression", target="y")
    assert "ONNX" in refused.value.hint


@pytest.mark.parametrize("name", [3, None, ["x"], "\ud800"])
def test_a_run_whose_name_is_no_text_is_refused_and_spoils_nothing(project, name):
    with pytest.raises(UsageError, match="a run cannot be called"):
        mlopsfw.start_run(name, project=project)
    with mlopsfw.start_run("right", project=project):
        pass
    assert mlopsfw.search_runs(project=project)["name"].to_list() == ["right"]


@pytest.mark.parametrize("message", [3, ["why"]])
def test_a_message_that_is_no_text_is_refused_and_spoils_nothing(project, model_file, message):
    with mlopsfw.start_run("x", project=project) as run:
        with pytest.raises(UsageError, match="cannot be recorded"):
            run.log_model("m", model_file, rows=ROWS, task="regression", target="y", message=message)
        assert run.log_model("m", model_file, rows=ROWS, task="regression", target="y").version == 1


@pytest.mark.parametrize("value", [{"a": 1}, [1], ROWS, 3])
def test_an_artifact_without_a_name_is_refused_with_its_type(project, value):
    with (
        mlopsfw.start_run("x", project=project) as run,
        pytest.raises(UsageError, match=f"an artifact of type {type(value).__name__} needs a name"),
    ):
        run.log_artifact(value)


@pytest.mark.parametrize("function", ["log_param", "log_params", "log_artifact", "log_model"])
def test_outside_of_a_run_each_function_says_how_to_open_one(function):
    args = {"log_param": ("x", 1), "log_params": ({},), "log_artifact": ("x",), "log_model": ("m", "f")}[function]
    options = {"rows": None, "task": "regression"} if function == "log_model" else {}
    with pytest.raises(UsageError, match=f"{function} was called outside of a run") as caught:
        getattr(mlopsfw, function)(*args, **options)
    assert "start_run" in caught.value.hint


def test_a_run_that_has_ended_takes_nothing_more(project):
    with mlopsfw.start_run(project=project) as run:
        pass
    with pytest.raises(UsageError, match="has ended"):
        run.log_param("x", 1)
    with pytest.raises(UsageError, match="has ended"):
        run.log_metric("x", 1)


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (KeyboardInterrupt(), ("interrupted", 130)),
        (GateRefused("no"), ("refused", 3)),
        (SystemExit(0), ("done", 0)),
        (SystemExit(2), ("failed", 1)),
        (ValueError("x"), ("failed", 1)),
    ],
)
def test_a_run_ends_as_the_block_ends(project, error, ended):
    with pytest.raises(type(error)), mlopsfw.start_run(project=project) as run:
        raise error
    view = project.runs.get(run.id)
    assert (view.status, view.exit_code) == ended
    assert all(place.is_segment for place in Reader(project.storage, f"run/{run.id}").entry_keys())


def test_a_run_whose_end_cannot_be_stored_can_be_ended_again(project, monkeypatch):
    run = mlopsfw.start_run(project=project)
    run.log_metric("x", 1)
    put = type(project.blobs).put
    monkeypatch.setattr(type(project.blobs), "put", lambda *_args, **_options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.end()
    assert project.runs.get(run.id).status == "running"
    monkeypatch.setattr(type(project.blobs), "put", put)
    run.end()
    assert (project.runs.get(run.id).status, project.runs.get(run.id).metrics) == ("done", {"x": 1.0})


def test_a_run_may_end_in_another_context_than_it_began_in(project):
    run = mlopsfw.start_run(project=project)
    copy_context().run(run.__enter__)
    copy_context().run(run.__exit__, None, None, None)
    assert project.runs.get(run.id).status == "done"
    with pytest.raises(UsageError, match="outside of any run"):
        mlopsfw.log_metric("x", 1)


def test_a_search_reads_the_metrics_of_the_runs_it_found_alone(project, monkeypatch):
    for name in ("a", "b", "b", "b", "a"):
        with mlopsfw.start_run(name, project=project) as run:
            run.log_metric("x", 1)
    read = []
    query = type(project.index).query
    monkeypatch.setattr(
        type(project.index), "query", lambda *args, **options: read.append(rows := query(*args, **options)) or rows
    )
    assert len(project.runs.search("a")) == 2
    assert sum(map(len, read)) == 4


def test_a_notebook_shows_a_run_as_tables_and_escapes_what_others_wrote(project):
    with mlopsfw.start_run("<script>", project=project, params={"<b>": "<i>"}) as run:
        run.log_metric("auc", 0.5)
    page = run._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "<td>auc</td><td>0.5</td>" in page


def test_runs_list_shows_sorts_and_filters(project):
    for rate in (0.3, 0.1, 0.2):
        with mlopsfw.start_run("tuning", project=project, params={"rate": rate}) as run:
            run.log_metric("auc", 1 - rate)
    with mlopsfw.start_run("other", project=project):
        pass
    project.close()
    root = project.workspace.root

    def ask(*args):
        command = [sys.executable, "-m", "mlopsfw", "runs", "list", *args]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    best = ask("--sort", "-metrics.auc", "--limit", "2", "--show", "params.rate", "--json")
    assert [record["params.rate"] for record in json.loads(best.stdout)] == [0.1, 0.2]
    text = ask("--name", "tuning", "--show", "metrics.auc").stdout
    assert text.splitlines()[0].split()[-1] == "metrics.auc"
    assert "other" not in text
    assert "No such runs." in ask("--status", "failed").stdout
    wrong = ask("--sort", "metrics.acu")
    assert wrong.returncode == 2
    assert "metrics.auc" in wrong.stderr
