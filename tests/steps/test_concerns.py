"""What `evaluate` measures besides quality, of a model that was trained once."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from mlopsfw.errors import UsageError
from mlopsfw.models.metrics import OWN
from mlopsfw.pipeline.graph.step import BundleFolder
from mlopsfw.steps import evaluate as evaluate_step
from mlopsfw.steps import train as train_step
from mlopsfw.steps.disturbed import Trial, _changes, _decided
from mlopsfw.steps.scored import Scored
from mlopsfw.testing.step import Bench

TOML = """
[trainer.trees]
use = "lightgbm"
num_iterations = 60
num_threads = 1
"""
TASKS = {"binary": "late", "multiclass": "level", "regression": "value"}


def table(rows, seed=0):
    draw = np.random.default_rng(seed)
    x, sex, kind = draw.normal(size=rows), draw.choice(["f", "m"], rows), draw.choice(["a", "b", "c"], rows)
    score = x + np.where(sex == "m", 1.0, 0.0) + draw.normal(0, 0.5, rows)
    return pl.DataFrame(
        {
            "x": x,
            "useless": draw.normal(size=rows),
            "sex": sex,
            "kind": [None if at % 50 == 0 else each for at, each in enumerate(kind)],
            "day": np.arange(rows) // 20,
            "late": score > 0.5,
            "level": np.array(["low", "middle", "high"])[np.digitize(score, [0, 1])],
            "value": score,
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a project, and the folder of a trained bundle of each task."""
    from mlopsfw.project.facade import Project

    folder = tmp_path_factory.mktemp("concerns")
    (folder / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n{TOML}')
    with Project.open(folder) as project:
        made = {}
        for number, (task, target) in enumerate(TASKS.items()):
            options = {"trainer": "trees", "task": task, "target": target, "features": ["x", "useless", "sex", "kind"]}
            bench = Bench(project, next(iter(train_step.mlopsfw_steps())), options)
            bench._attempts = number
            artifact = bench.run({"train": table(600)})["model"]
            made[task] = project.blobs.get_folder(artifact.blob, folder / task)
        yield project, made, itertools.count(10)


@pytest.fixture
def evaluate(trained):
    """Return an evaluation: the metrics of a model on 600 other rows."""
    project, folders, attempts = trained

    def run(task="binary", **options):
        bench = Bench(project, next(iter(evaluate_step.mlopsfw_steps())), options)
        bench._attempts = next(attempts)
        return bench.load(bench.run({"model": BundleFolder(folders[task]), "rows": table(600, seed=1)})["metrics"])

    return run


def test_a_model_that_prefers_a_group_is_said_to_with_an_interval(evaluate):
    bias = evaluate(bias={"by": ["sex", "kind"]}, min_rows=30)["bias"]
    assert set(bias) == {"sex", "kind", "intersection"}
    assert (
        bias["sex"]["demographic_parity_difference"]["low"] > 0.1 > bias["kind"]["demographic_parity_difference"]["low"]
    )
    assert set(bias["sex"]["groups"]) == {"f", "m"}
    assert "f, a" in bias["intersection"]["groups"]


def test_groups_with_too_few_rows_are_named(evaluate):
    sex = evaluate(bias={"by": ["sex"]}, min_rows=300)["bias"]["sex"]
    assert len(sex["groups"]) == 1
    assert [rows < 300 for rows in sex["small"].values()] == [True]
    assert "demographic_parity_difference" not in sex


def test_intervals_count_the_values_of_the_declared_group(evaluate):
    assert "low" not in evaluate(bias={"by": ["sex"]}, group="sex")["bias"]["sex"]["demographic_parity_difference"]
    assert "low" in evaluate(bias={"by": ["sex"]}, group="day")["bias"]["sex"]["demographic_parity_difference"]


def test_any_task_has_groups_and_any_class_can_be_the_positive_one(evaluate):
    low = evaluate("multiclass", bias={"by": ["sex"], "positive": "low"})["bias"]["sex"]["groups"]
    assert low["f"]["selection_rate"]["value"] > low["m"]["selection_rate"]["value"]
    late = evaluate(bias={"by": ["sex"], "positive": "False"})["bias"]["sex"]["groups"]
    assert late["f"]["selection_rate"]["value"] > late["m"]["selection_rate"]["value"]
    value = evaluate("regression", bias={"by": ["sex"]})["bias"]["sex"]
    assert value["mean_answer_difference"]["value"] == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(
    ("task", "options", "words"),
    [
        ("binary", {"bias": {"by": ["sexx"]}}, "'sexx'"),
        ("multiclass", {"bias": {"by": ["sex"]}}, "needs the positive one"),
        ("binary", {"bias": {"by": ["sex"], "positive": "yes"}}, "no class 'yes'"),
        ("binary", {"group": "dya"}, "'dya'"),
    ],
)
def test_an_option_that_cannot_be_met_names_the_word(evaluate, task, options, words):
    with pytest.raises(UsageError, match=words):
        evaluate(task, **options)


def test_size_and_latency_are_facts_that_a_gate_can_name(evaluate):
    metrics = evaluate(latency=20)
    assert 1000 < metrics["size"]["bytes"] < 10_000_000
    assert 0 < metrics["latency"]["p50_ms"] <= metrics["latency"]["p99_ms"]
    assert metrics["latency"]["rows_per_second"] > 1000 / metrics["latency"]["p50_ms"]


def test_without_a_champion_yet_the_comparison_says_so(evaluate):
    assert evaluate(champion="models:/none@champion")["compare"] is None
    assert "compare" not in evaluate()


def test_inputs_weigh_as_much_as_the_metric_loses_without_them(evaluate):
    importance = evaluate(importance=3, group="day")["importance"]
    columns = importance["columns"]
    assert importance["metric"] == "auc"
    assert columns["x"]["low"] > columns["sex"]["high"] > columns["sex"]["low"] > 0
    for name in ("useless", "kind"):
        assert columns[name]["low"] < 0.01
    assert evaluate("regression", importance=2)["importance"]["columns"]["x"]["value"] > 0.3


def test_disturbed_inputs_change_the_answer_and_the_metric(evaluate):
    found = evaluate(robustness=["noise", "missing", "unseen", "range", "steps"])["robustness"]
    assert set(found["unseen"]) == {"sex", "kind"}
    assert set(found["range"]) == {"x", "useless"}
    assert set(found["missing"]) == {"kind"}
    assert found["range"]["x"]["loss"] > 0.2 > abs(found["range"]["useless"]["loss"])
    assert found["steps"]["loss"] > found["noise"]["loss"] - 0.01
    assert 0 < found["steps"]["flipped"] < 1
    assert 0 < found["noise"]["change"] < found["range"]["x"]["change"]


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_steps_harm_more_than_noise_of_twice_their_size(evaluate, task):
    found = evaluate(task, robustness=["noise", "steps"])["robustness"]
    assert found["steps"]["loss"] > max(found["noise"]["loss"], 0)
    assert ("flipped" in found["noise"]) == (task == "multiclass")


def test_the_change_of_several_classes_is_the_total_variation():
    before, after = (np.tile(each, (4, 1)) for each in ([1.0, 0.0, 0.0], [0.4, 0.6, 0.0]))
    manifest = SimpleNamespace(task="multiclass", classes=("a", "b", "c"), outputs=[SimpleNamespace(name="p")])
    bundle = SimpleNamespace(manifest=manifest, predict_table=lambda _: {"p": after})
    scored = Scored(bundle, pl.DataFrame({"x": range(4)}), np.array([0, 0, 1, 2]), {"p": before}, None)
    changes = _changes(Trial.of(scored, OWN, "accuracy", np.arange(4)), scored.rows)
    assert changes == {"change": pytest.approx(0.6), "flipped": 1.0, "metric": 0.25, "loss": 0.25}


def test_the_likelier_class_is_decided_for():
    assert _decided(np.array([0.49, 0.5])).tolist() == [False, True]
    assert _decided(np.array([[0.2, 0.5, 0.3]])).tolist() == [1]
