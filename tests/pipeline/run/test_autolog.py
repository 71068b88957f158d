"""Autologging: what torch and scikit-learn do in a run is in it, the code that is watched notices nothing, and nothing stays behind."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import joblib
import numpy as np
import polars as pl
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlopsfw
from mlopsfw import start_run
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.run.autolog import sink, switch
from mlopsfw.pipeline.run.autolog.sink import Sink, plain

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
ROWS, TARGET = torch.tensor(X, dtype=torch.float32), torch.tensor(Y, dtype=torch.float32)


def network(rate=0.5):
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 1)
    return net, torch.optim.SGD(net.parameters(), lr=rate)


def loss_of(net):
    return torch.nn.functional.mse_loss(net(ROWS).squeeze(1), TARGET)


def logged(project, run, name):
    return [(metric.step, metric.number) for metric in project.runs.metrics(run.id) if metric.name == name]


def traces():
    hooks = sys.modules["torch.optim.optimizer"]._global_optimizer_post_hooks
    patched = "__getattribute__" in vars(BaseEstimator), hasattr(torch.autograd.backward, "__wrapped__")
    return (
        len(hooks),
        *patched,
        hasattr(torch.amp.GradScaler.scale, "__wrapped__"),
        switch._hooks._finder in sys.meta_path,
    )


@pytest.fixture(autouse=True)
def nothing_stays_behind():
    before = traces()
    assert before == (0, False, False, False, False)
    yield
    assert traces() == before


def test_a_loop_by_hand_has_loss_learning_rate_and_gradient_norm_by_step(project):
    net, optimizer = network()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    truth = []
    with start_run(project=project) as run, mlopsfw.autolog():
        for _ in range(4):
            optimizer.zero_grad()
            loss = loss_of(net)
            loss.backward()
            norm = torch.cat([each.grad.flatten() for each in net.parameters()]).norm()
            truth.append((loss.item(), norm.item(), optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.step()
    for name, values in zip(("loss", "gradient_norm", "learning_rate"), zip(*truth, strict=True), strict=True):
        assert logged(project, run, name) == [(step, pytest.approx(value)) for step, value in enumerate(values)]
    params = project.runs.get(run.id).params
    assert (params["optimizer.class"], params["optimizer.lr"], params["optimizer.parameters"]) == (
        "torch.optim.sgd.SGD",
        0.5,
        4,
    )


def test_the_loss_of_a_step_is_all_that_was_given_to_backward_since_the_last_one_as_it_was_before_it_was_scaled(
    project,
):
    net, optimizer = network()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with start_run(project=project) as run, mlopsfw.autolog(every=2):
        for _ in range(3):
            optimizer.zero_grad()
            whole = loss_of(net).item()
            for _ in range(2):
                scaler.scale(loss_of(net) / 2).backward()
            scaler.step(optimizer)
            scaler.update()
    assert [step for step, _ in logged(project, run, "loss")] == [0, 2]
    assert logged(project, run, "loss")[-1][1] == pytest.approx(whole)


def test_an_optimizer_that_evaluates_a_closure_has_its_last_loss_and_a_second_optimizer_a_name_of_its_own(project):
    net, first = network()
    second = torch.optim.LBFGS(net.parameters(), max_iter=3)
    values = []

    def closure():
        second.zero_grad()
        loss = loss_of(net)
        loss.backward()
        values.append(loss.item())
        return loss

    with start_run(project=project) as run, mlopsfw.autolog():
        loss_of(net).backward()
        first.step()
        second.step(closure)
    assert len(logged(project, run, "loss")) == 1
    assert logged(project, run, "loss.2") == [(0, pytest.approx(values[-1]))]


def test_steps_are_counted_and_not_logged_once_the_time_for_it_is_spent(project, monkeypatch):
    monkeypatch.setattr(sink, "_FREE", -1)
    net, optimizer = network()
    with start_run(project=project) as run, mlopsfw.autolog():
        for step in range(6):
            if step == 4:
                monkeypatch.setattr(sink, "_FREE", 1)
            loss_of(net).backward()
            optimizer.step()
    assert [step for step, _ in logged(project, run, "loss")] == [0, 5]


def test_autologging_takes_a_hundredth_of_a_long_run(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(sink.time, "perf_counter", lambda: now[0])
    watched, looks = Sink(None, None, 0), 0
    for _ in range(100_000):
        now[0] += 0.001
        if watched.due():
            watched.spend(0.001)
            looks += 1
    assert 1190 <= looks <= 1210  # 0.2 s, and 1% of 100 s


def test_an_estimator_has_its_class_parameters_and_score_and_a_fit_within_a_fit_is_none_of_the_runs(project):
    with start_run(project=project) as run, mlopsfw.autolog(), joblib.parallel_backend("threading", n_jobs=2):
        make_pipeline(StandardScaler(), LogisticRegression(C=2.0)).fit(X, Y)
        search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}).fit(X=X, y=Y)
        BaggingClassifier(LogisticRegression(), 4, n_jobs=2).fit(X, Y)
        StandardScaler().fit(X)
    view = project.runs.get(run.id)
    assert {name.partition(".")[0] for name in view.params} == {"Pipeline", "GridSearchCV", "BaggingClassifier"}
    assert view.params["Pipeline.class"] == "sklearn.pipeline.Pipeline"
    assert view.params["Pipeline.logisticregression__C"] == 2.0
    assert (view.params["Pipeline.rows"], view.params["Pipeline.columns"]) == (60, 3)
    assert view.params["GridSearchCV.best.C"] == search.best_params_["C"]
    assert view.metrics["GridSearchCV.best_score"] == search.best_score_
    assert view.metrics["GridSearchCV.training_score"] == search.score(X, Y)


def test_fits_with_the_same_parameters_are_steps_and_others_have_a_name_of_their_own(project):
    with start_run(project=project) as run, mlopsfw.autolog():
        for rows in (slice(0, 30), slice(30, 60)):
            LogisticRegression().fit(X[rows], Y[rows])
        LogisticRegression(C=9.0).fit(X, Y)
        net = MLPClassifier(max_iter=3, random_state=0, tol=1.0, n_iter_no_change=1).fit(X, Y)
    assert [step for step, _ in logged(project, run, "LogisticRegression.training_score")] == [0, 1]
    assert project.runs.get(run.id).params["LogisticRegression_2.C"] == 9.0
    assert logged(project, run, "MLPClassifier.loss_curve") == list(enumerate(net.loss_curve_))


def test_a_score_of_many_rows_is_computed_on_ten_thousand(project):
    seen = []

    class Counting(LogisticRegression):
        def score(self, rows, labels):
            seen.append((len(rows), len(labels)))
            return 1.0

    rows = pl.DataFrame({"a": np.arange(30_001) % 2, "b": np.arange(30_001) % 3})
    with start_run(project=project), mlopsfw.autolog():
        Counting().fit(rows, rows["a"].to_numpy())
    assert seen == [(7501, 7501)]


def test_an_error_of_autologging_is_said_once_and_the_code_goes_on(project, capsys):
    class Odd(LogisticRegression):
        def score(self, *_):
            raise RuntimeError("no\nscore")

    with start_run(project=project) as run, mlopsfw.autolog():
        for _ in range(2):
            assert Odd().fit(X, Y).predict(X).shape == (60,)
    assert capsys.readouterr().err == "mlopsfw.autolog: something was not logged: RuntimeError: no score\n"
    assert project.runs.get(run.id).status == "done"


def test_an_error_of_the_watched_code_is_its_own_and_later_fits_are_logged(project):
    with start_run(project=project) as run, mlopsfw.autolog():
        with pytest.raises(ValueError, match="Unknown label type"):
            LogisticRegression().fit(X, X[:, 0])
        LogisticRegression().fit(X, Y)
    assert [step for step, _ in logged(project, run, "LogisticRegression.fit_seconds")] == [0]


def test_a_watched_method_is_pickled_and_inspected_as_it_is(project):
    model = LogisticRegression()
    plain_signature = inspect.signature(model.fit)
    with start_run(project=project), mlopsfw.autolog():
        assert inspect.signature(model.fit) == plain_signature
        assert (model.fit.__self__, model.fit.__func__, model.fit.__name__) == (model, LogisticRegression.fit, "fit")
        copy = pickle.loads(pickle.dumps(model.fit))
    assert type(copy(X, Y)) is LogisticRegression


def test_nothing_is_watched_outside_of_a_run_or_without_autolog(project):
    with mlopsfw.autolog():
        assert traces() == (0, False, False, False, False)
        with start_run(project=project):
            assert traces() == (1, True, True, True, True)
    with start_run(project=project) as run:
        LogisticRegression().fit(X, Y)
    assert project.runs.get(run.id).params == {}


def test_what_is_switched_on_in_a_run_ends_with_it_and_on_the_outside_holds_for_each_run_until_it_is_closed(project):
    with start_run(project=project):
        mlopsfw.autolog()
        assert traces()[1]
    assert not traces()[1]
    everywhere = mlopsfw.autolog()
    runs = []
    for close in (False, False, True):
        with start_run(project=project) as run:
            everywhere.close() if close else None
            LogisticRegression().fit(X, Y)
        runs.append(len(project.runs.get(run.id).metrics))
    assert runs == [2, 2, 0]


def test_each_of_two_runs_in_threads_has_what_its_own_thread_does(project):
    together = Barrier(2, timeout=60)

    def work(strength):
        with start_run(project=project) as run:
            together.wait()
            LogisticRegression(C=strength).fit(X, Y)
            together.wait()
        return run.id

    with mlopsfw.autolog(), ThreadPoolExecutor(2) as pool:
        ids = list(pool.map(work, (1.0, 2.0)))
    assert [project.runs.get(run).params["LogisticRegression.C"] for run in ids] == [1.0, 2.0]


def test_fits_in_threads_of_a_run_are_all_logged(project):
    with start_run(project=project) as run, mlopsfw.autolog(), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda strength: LogisticRegression(C=strength).fit(X, Y), range(1, 9)))
    assert sorted(each for name, each in project.runs.get(run.id).params.items() if name.endswith(".C")) == list(
        range(1, 9)
    )


def test_a_step_of_a_pipeline_has_the_numbers_of_its_own_loop_and_a_later_one_in_the_same_process_none(bench):
    fit = "LogisticRegression().fit([[0.0], [1.0]], [0, 1])\n    return 1\n"
    head = "import mlopsfw\nfrom sklearn.linear_model import LogisticRegression\n"
    body = f"{head}def one():\n    mlopsfw.autolog()\n    {fit}def two(x):\n    {fit}"
    toml = '[steps.a]\npython = "steps:one"\n[steps.b]\npython = "steps:two"\ninputs = { x = "a" }\n'
    outcome = bench.write(toml, steps=body).run(debug=True)
    with bench.open() as project:
        assert {f"{m.source}.{m.name}" for m in project.runs.metrics(outcome.run)} == {
            "a.LogisticRegression.fit_seconds",
            "a.LogisticRegression.training_score",
        }


def test_neither_library_is_imported_and_one_that_is_imported_in_the_run_is_watched(project):
    code = """
import sys
import mlopsfw
mlopsfw.autolog()
with mlopsfw.start_run("late") as run:
    assert not {"torch", "sklearn"} & set(sys.modules)
    from sklearn.linear_model import LogisticRegression
    LogisticRegression().fit([[0.0], [1.0]], [0, 1])
"""
    subprocess.run([sys.executable, "-c", code], cwd=project.root, check=True, timeout=100)
    assert project.runs.get("latest").metrics["LogisticRegression.training_score"] == 1.0


def test_of_tables_and_objects_among_the_parameters_only_the_class_is_kept():
    kept = plain({"rows": pl.DataFrame({"name": ["ann"]}), "array": np.ones(3), "kernel": len, "deep": [[[[["x"]]]]]})
    assert kept == {
        "rows": "polars.dataframe.frame.DataFrame",
        "array": "numpy.ndarray",
        "kernel": "builtins.len",
        "deep": [[["builtins.list"]]],
    }
    assert plain((np.float64(0.5), np.int64(2), float("inf"), None, True)) == [0.5, 2, "inf", None, True]


def test_a_negative_interval_is_refused():
    with pytest.raises(UsageError, match="every is -1"):
        mlopsfw.autolog(every=-1)
