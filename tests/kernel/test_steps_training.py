"""The steps train, evaluate and features: from rows to a bundle and its metrics, beside baselines and the champion, and cached."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import polars as pl
import pytest

from mlopsfw.contracts.artifact import Artifact
from mlopsfw.errors import DataError
from mlopsfw.steps.features import FeaturesParams, features

ROWS = """
from mlopsfw.testing.trainer import training_rows
def rows(seed: int, count: int):
    return training_rows(count, seed)
"""
TOML = """
[steps.rows]
python = "rows:rows"
params = { seed = 0, count = 900 }
[steps.later]
python = "rows:rows"
params = { seed = 1, count = 400 }
[steps.split]
inputs = { rows = "rows" }
by = "fraction"
validation = 0.2
[steps.train]
inputs = { train = "split.train", valid = "split.validation" }
task = "KIND"
target = "KIND"
exclude = EXCLUDE
seed = 3
[steps.evaluate]
inputs = { model = "train", rows = "later", train = "split.train" }
segments = ["color"]
champion = "models:/toy@champion"
[steps.register]
inputs = { model = "train", metrics = "evaluate" }
name = "toy"
alias = "champion"
[trainer.torch]
epochs = 4
batch_size = 64
learning_rate = 5e-3
hidden = [16]
"""
KINDS = ("binary", "multiclass", "regression")


def toml(kind):
    others = str([name for name in KINDS if name != kind]).replace("'", '"')
    return TOML.replace("KIND", kind).replace("EXCLUDE", others)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_rows_become_a_registered_model_with_metrics_beside_baselines(bench, kind):
    bench.write(toml(kind), rows=ROWS)
    done = bench.run()
    metrics = bench.value(done, "evaluate", "metrics")
    metric = {"binary": "auc", "multiclass": "accuracy", "regression": "r2"}[kind]
    assert metrics["rows"] == 400
    assert set(metrics["baseline"]) == {"majority", "linear" if kind == "regression" else "logistic"}
    assert metrics[metric] > metrics["baseline"]["majority"].get(metric, 0)
    assert set(metrics["segments"]["color"]) == {"red", "green", "blue", "null"}
    assert sum(each["rows"] for each in metrics["segments"]["color"].values()) == 400
    assert bench.value(done, "evaluate", "champion") is None
    with bench.open() as project:
        version = project.registry.resolve("models:/toy@champion")
        assert version.task == kind
        folder = project.blobs.get_folder(version.bundle, bench.root / "laid")
        assert project.bundles.open(folder).manifest.target == kind


@pytest.mark.slow
def test_a_second_run_trains_nothing_and_is_compared_with_the_champion(bench):
    bench.write(toml("binary"), rows=ROWS)
    bench.run()
    again = bench.run()
    assert "train" not in bench.ran()
    metrics = bench.value(again, "evaluate", "metrics")
    assert metrics["compare"]["gain"] == 0
    assert metrics["compare"]["better"] is False
    assert bench.value(again, "evaluate", "champion")["auc"] == metrics["auc"]
    bench.edit("mlopsfw.toml", "epochs = 4", "epochs = 5")
    bench.run()
    assert "train" in bench.ran()


@pytest.mark.slow
def test_the_same_training_gives_the_same_bundle_in_another_project(bench, tmp_path):
    digests = []
    for name in ("one", "two"):
        other = type(bench)(tmp_path / name)
        other.write(toml("binary").partition("[steps.evaluate]")[0] + TOML[TOML.index("[trainer") :], rows=ROWS)
        model: Artifact = other.run().outputs["train"]["model"]
        assert model.kind == "bundle"
        digests.append(model.digest)
    assert digests[0] == digests[1]


def test_a_typo_in_a_column_option_is_an_error_of_the_step(bench):
    bench.write(toml("binary").replace("seed = 3", "options = { color = { bukets = 3 } }"), rows=ROWS)
    outcome = bench.run()
    assert outcome.exit_code != 0
    assert "bukets" in str(outcome)


FRAME = pl.DataFrame({"a": ["1", "2", None], "t": ["2013-07-01T02:30:00Z"] * 3, "b": [1.0, 2.0, 3.0]})


def test_columns_are_retyped_dropped_and_selected():
    params = FeaturesParams(
        rename={"b": "c"}, types={"a": "integer", "t": "datetime"}, drop_missing=("a",), keep=("c", "a", "t")
    )
    made = features(FRAME.lazy(), params).collect()
    asked = datetime(2013, 7, 1, 2, 30, tzinfo=UTC)
    assert made.rows(named=True) == [{"c": 1.0, "a": 1, "t": asked}, {"c": 2.0, "a": 2, "t": asked}]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (FeaturesParams(types={"z": "integer"}), "'z'"), (FeaturesParams(types={"t": "integer"}), "cannot become integer"),
        (FeaturesParams(drop=("z",)), "'z'"), (FeaturesParams(rename={"z": "y"}), "'z'"),
    ],
)  # fmt: skip
def test_a_preparation_that_cannot_be_done_names_the_column(params, words):
    with pytest.raises(DataError, match=words):
        features(FRAME.lazy(), params)


def test_nothing_heavy_is_loaded_to_plan_these_steps():
    code = (
        "import sys\nimport mlopsfw.steps.train, mlopsfw.steps.evaluate, mlopsfw.steps.features\n"
        "assert not {'numpy', 'polars', 'pyarrow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
