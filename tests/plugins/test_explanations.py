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
[trainer.sklearn]
factory = "forest:make"
[trainer.torch]
epochs = 3
[trainer.xgboost]
num_boost_round = 10
nthread = 1
"""
FOREST = """
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

def make():
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["kind"]), ("passthrough", ["x", "useless"]))
    return make_pipeline(columns, RandomForestClassifier(10, max_depth=4, max_features=None))
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
    (folder / "forest.py").write_text(FOREST)
    with pytest.MonkeyPatch.context() as patch, Project.open(folder) as project:
        patch.syspath_prepend(folder)
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


CASES = [(trainer, task) for trainer in ("lightgbm", "xgboost", "torch") for task in TASKS] + [
    ("sklearn", "multiclass")
]


@pytest.mark.parametrize(("trainer", "task"), CASES)
def test_the_contributions_add_up_to_the_answer_of_any_trainers_model(trained, trainer, task):
    bundle, _ = trained[1](trainer, task)
    columns = {name: table()[name].to_list() for name in ("x", "kind", "useless")}
    shares = bundle.explain(columns)
    answer = next(iter(bundle.predict(columns).values()))
    assert list(shares) == ["", "x", "kind", "useless"]
    assert linked(task, sum(shares.values())) == pytest.approx(answer, abs=1e-5)
    assert not shares["useless"].any()
    assert np.abs(shares["x"]).mean() > np.abs(shares["kind"]).mean() > 0
    assert all(np.array_equal(each, shares[name]) for name, each in bundle.explain(columns).items())
    assert len(bundle.explain({name: [] for name in columns})["x"]) == 0


@pytest.mark.parametrize("trainer", ["lightgbm", "xgboost", "torch"])
def test_the_facts_of_a_bundle_have_the_share_of_each_input(trained, trainer):
    shares = trained[1](trainer, "binary")[0].manifest.facts["attributions"]
    assert shares["x"] > shares["kind"] > shares["useless"] == 0
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)


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


def test_a_model_of_no_known_task_is_not_explained_and_a_wrong_explanation_is_refused(trained, tmp_path):
    project, train = trained
    first = write_bundles(project.host("deployer.http"), tmp_path).first
    bundle = project.bundles.open(project.blobs.get_folder(first, tmp_path / "onnx"))
    rows = {each.name: [1.0 if each.type == "number" else "a"] for each in bundle.manifest.inputs}
    with pytest.raises(UsageError, match="of the task 'custom' cannot be explained"):
        bundle.explain(rows)
    own, _ = train("lightgbm", "binary")

    class Wrong:
        def explain(self, columns):
            return {"": np.zeros(1), "x": np.array([np.nan])}

    with pytest.raises(AnswerMismatch, match="not finite"):
        LoadedBundle(own.folder, own.manifest, Wrong()).explain({"x": [1.0], "kind": ["a"], "useless": [0.0]})
