"""What each input contributes to an answer: the contributions of trees add up to it, and `predict --explain` writes them beside it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from mlopsfw.cli.root import cli
from mlopsfw.errors import AnswerMismatch, UsageError
from mlopsfw.models.bundle.loaded import LoadedBundle
from mlopsfw.project.facade import Project
from mlopsfw.steps import train as train_step
from mlopsfw.testing.bundles import write_bundles
from mlopsfw.testing.step import Bench

TOML = """
[project]
name = "p"
[trainer]
use = "lightgbm"
[trainer.lightgbm]
num_iterations = 10
num_threads = 1
min_data_in_leaf = 5
[trainer.xgboost]
num_boost_round = 10
nthread = 1
"""
TASKS = {"binary": "late", "multiclass": "level", "regression": "value"}


def table(rows=300):
    draw = np.random.default_rng(0)
    x, kind = draw.normal(size=rows), draw.choice(["a", "b", "c"], rows)
    value = 2 * x + (kind == "a")
    level = np.array(["low", "middle", "high"])[np.digitize(value, [-1, 1])]
    return pl.DataFrame({"x": x, "kind": kind, "useless": 0.0, "late": value > 0, "level": level, "value": value})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the bundle of a trainer and a task, and its project."""
    folder = tmp_path_factory.mktemp("explain")
    (folder / "mlopsfw.toml").write_text(TOML)
    with Project.open(folder) as project:
        count = iter(range(100))

        def train(trainer, task):
            options = {"trainer": trainer, "task": task, "target": TASKS[task], "features": ["x", "kind", "useless"]}
            bench = Bench(project, next(iter(train_step.mlopsfw_steps())), options)
            bench._attempts = next(count)
            blob = bench.run({"train": table()})["model"].blob
            return project.bundles.open(project.blobs.get_folder(blob, folder / f"{trainer}-{task}")), blob

        yield project, train


def linked(task, total):
    if task == "regression":
        return total
    if task == "binary":
        return 1 / (1 + np.exp(-total))
    odds = np.exp(total)
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("trainer", ["lightgbm", "xgboost"])
def test_the_contributions_of_trees_add_up_to_the_answer(trained, trainer, task):
    bundle, _ = trained[1](trainer, task)
    columns = {name: table()[name].to_list() for name in ("x", "kind", "useless")}
    shares = bundle.explain(columns)
    answer = next(iter(bundle.predict(columns).values()))
    assert list(shares) == ["", "x", "kind", "useless"]
    assert linked(task, sum(shares.values())) == pytest.approx(answer, abs=1e-5)
    assert not shares["useless"].any()
    assert np.abs(shares["x"]).mean() > np.abs(shares["kind"]).mean() > 0
    told = bundle.manifest.facts["attributions"]
    assert told["x"] > told["kind"] > told["useless"] == 0
    assert sum(told.values()) == pytest.approx(1, abs=1e-5)
    assert len(bundle.explain({name: [] for name in columns})["x"]) == 0


def test_predict_writes_what_each_input_contributes(trained, tmp_path):
    project, train = trained
    for name, task in (("late", "binary"), ("level", "multiclass")):
        project.registry.register(name, train("xgboost", task)[1])
        rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
        table(20).select("x", "kind", "useless").write_csv(rows)
        words = ["predict", f"models:/{name}@1", str(rows), "--out", str(out), "--explain"]
        result = CliRunner().invoke(cli, ["--project", str(project.root), *words])
        assert result.exit_code == 0, result.output
        written = pl.read_csv(out)
        assert [column for column in written.columns if column.startswith("contribution")] == [
            "contribution", "contribution[x]", "contribution[kind]", "contribution[useless]",
        ]  # fmt: skip
    total = written.select(pl.sum_horizontal(pl.selectors.starts_with("contribution")))  # of the likeliest class
    assert total.to_series().min() > -1


def test_a_model_that_cannot_explain_says_so_and_a_wrong_explanation_is_refused(trained, tmp_path):
    project, train = trained
    first = write_bundles(project.host("deployer.http"), tmp_path).first
    bundle = project.bundles.open(project.blobs.get_folder(first, tmp_path / "onnx"))
    rows = {each.name: [1.0 if each.type == "number" else "a"] for each in bundle.manifest.inputs}
    with pytest.raises(UsageError, match="in the format onnx does not explain"):
        bundle.explain(rows)
    own, _ = train("lightgbm", "binary")

    class Wrong:
        def explain(self, columns):
            return {"": np.zeros(1), "x": np.array([np.nan])}

    with pytest.raises(AnswerMismatch, match="not finite"):
        LoadedBundle(own.folder, own.manifest, Wrong()).explain({"x": [1.0], "kind": ["a"], "useless": [0.0]})
