"""The steps train, evaluate and features: from rows to a bundle and its metrics, beside baselines and the champion, and cached."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import polars as pl
import pytest
from click.testing import CliRunner

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.models.metrics import OWN
from mlopsfw.steps.comparison import compare_with_baselines
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
shuffle_time = true
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
[trainer.xgboost]
num_boost_round = 20
nthread = 1
"""
KINDS = ("binary", "multiclass", "regression")


def toml(kind):
    others = str([name for name in KINDS if name != kind]).replace("'", '"')
    return TOML.replace("KIND", kind).replace("EXCLUDE", others)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that runs the pipeline of a kind in a bench, by a copy where an earlier test has run it."""
    folder = tmp_path_factory.mktemp("trained")
    outcomes = {}

    def run(bench, kind="binary"):
        if kind in outcomes:
            shutil.rmtree(bench.root)
            shutil.copytree(folder / kind, bench.root)
        else:
            bench.write(toml(kind), rows=ROWS)
            outcomes[kind] = bench.run()
            shutil.copytree(bench.root, folder / kind)
        return outcomes[kind]

    return run


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_rows_become_a_registered_model_with_metrics_beside_baselines(bench, trained, kind):
    done = trained(bench, kind)
    metrics = bench.value(done, "evaluate", "metrics")
    metric = {"binary": "auc", "multiclass": "accuracy", "regression": "r2"}[kind]
    assert metrics["rows"] == 400
    always, fitted = ("mean", "linear") if kind == "regression" else ("majority", "logistic")
    assert set(metrics["baseline"]) == {always, fitted}
    assert metrics[metric] > metrics["baseline"][always].get(metric, 0)
    assert set(metrics["segments"]["color"]) == {"red", "green", "blue", "null"}
    assert sum(each["rows"] for each in metrics["segments"]["color"].values()) == 400
    assert bench.value(done, "evaluate", "champion") is None
    with bench.open() as project:
        version = project.registry.resolve("models:/toy@champion")
        assert version.task == kind
        folder = project.blobs.get_folder(version.bundle, bench.root / "laid")
        assert project.bundles.open(folder).manifest.target == kind


@pytest.mark.slow
def test_a_second_run_trains_nothing_and_is_compared_with_the_champion(bench, trained):
    trained(bench)
    again = bench.run()
    assert "train" not in bench.ran()
    metrics = bench.value(again, "evaluate", "metrics")
    assert metrics["compare"]["gain"] == 0
    assert metrics["compare"]["better"] is False
    assert bench.value(again, "evaluate", "champion")["auc"] == metrics["auc"]
    bench.edit("mlopsfw.toml", "num_boost_round = 20", "num_boost_round = 21")
    bench.run()
    assert "train" in bench.ran()


@pytest.mark.slow
def test_a_registered_model_is_evaluated_on_other_rows(bench, trained):
    metrics = bench.value(trained(bench), "evaluate", "metrics")
    bench.edit(
        "mlopsfw.toml", 'model = "train", rows = "later", train', 'model = "models:/toy@1", rows = "later", train'
    )
    assert bench.value(bench.run(), "evaluate", "metrics")["auc"] == metrics["auc"]
    assert "evaluate" in bench.ran()


GATED = """
[steps.gate]
inputs = { metrics = "evaluate", champion = "evaluate.champion" }
rules = ["auc > champion.auc"]
[steps.register]
inputs = { model = "train", metrics = "gate" }
"""


def cli(bench, *words):
    """Run a verb in this process; return what it prints."""
    from mlopsfw.cli.root import cli

    return CliRunner().invoke(cli, ["--project", str(bench.root), *words], catch_exceptions=False).output


@pytest.mark.slow
def test_an_unchanged_second_run_passes_the_gate_and_makes_no_second_version(bench, trained):
    """The gate of the example: better than the champion, which from the second run on the candidate itself is."""
    gated = toml("binary").replace('[steps.register]\ninputs = { model = "train", metrics = "evaluate" }\n', GATED)
    trained(bench)
    bench.write(gated)
    outcomes = [bench.run() for _ in range(2)]
    assert [outcome.status for outcome in outcomes] == ["done"] * 2
    with bench.open() as project:
        assert "holds, the candidate is the champion" in project.runs.log("latest", "gate")
        model = project.registry.model("toy")
        assert (len(model.versions), len(model.moves)) == (1, 1)


LOSING = {
    "binary": ("auc", "logistic"),
    "multiclass": ("log_loss", "logistic"),
    "regression": ("rmse", "linear"),
}


def losing(bench, kind):
    """Write a pipeline whose model learns nothing; return what is to be said of it."""
    bench.write(
        toml(kind).replace("num_boost_round = 20", "num_boost_round = 1\nlearning_rate = 1e-9"),
        rows=ROWS,
    )
    metric, baseline = LOSING[kind]
    return rf"evaluate: the model \({metric} [\d.]+\) is worse than the {baseline} baseline \([\d.]+\)"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_a_run_notes_that_its_model_lost_to_the_baseline(bench, kind):
    pattern = losing(bench, kind)
    bench.run()
    with bench.open() as project:
        (note,) = project.runs.get("latest").notes
        assert re.fullmatch(pattern, note)


@pytest.mark.slow
def test_that_a_model_lost_to_the_baseline_is_told_wherever_one_looks(bench):
    pattern = losing(bench, "binary")
    for _ in range(2):  # the second time beside the champion
        assert len(re.findall(pattern, cli(bench, "run"))) == 1
    assert "unchanged" in (third := cli(bench, "run"))
    assert len(re.findall(pattern, third)) == 1
    for words in (("runs", "show", "latest"), ("runs", "metrics", "latest")):
        assert re.search(pattern, cli(bench, *words))
    assert re.search(pattern, json.loads(cli(bench, "runs", "show", "latest", "--json"))["notes"][0])
    says = pattern.removeprefix("evaluate: ")
    assert re.search(says, json.loads(cli(bench, "run", "--json"))["outputs"]["evaluate"]["metrics"]["meta"]["note"])
    assert re.search(says, cli(bench, "models", "show", "toy"))
    shown = json.loads(cli(bench, "models", "show", "toy", "--json"))
    assert shown["version"]["metrics"]["against_baseline"]["verdict"] == "worse"
    assert "is worse than the logistic baseline" in cli(bench, "models", "card", "toy")


@pytest.mark.parametrize(
    ("own", "other", "verdict"), [(0.493, 0.956, "worse"), (0.957, 0.956, "better"), (0.95601, 0.956, "tied")]
)
def test_only_a_model_that_lost_is_worth_a_note(own, other, verdict):
    found = compare_with_baselines(
        OWN, "auc", {"auc": own, "baseline": {"majority": {"auc": 0.5}, "logistic": {"auc": other}}}
    )
    assert (found["verdict"], found["baseline"]) == (verdict, "logistic")
    lower = compare_with_baselines(
        OWN, "rmse", {"rmse": 1 / own, "baseline": {"mean": {"rmse": 2.5}, "linear": {"rmse": 1 / other}}}
    )
    assert (lower["verdict"], lower["baseline"]) == (verdict, "linear")


def test_without_a_number_to_compare_nothing_is_said():
    assert compare_with_baselines(OWN, "auc", {"log_loss": 0.1, "baseline": {"majority": {"log_loss": 0.2}}}) == {}


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


def test_the_log_names_steps_that_make_a_column_of_the_request_and_not_one_that_reads_it_from_a_file(bench):
    rows = pl.DataFrame({"a": range(60), "y": [0, 1] * 30})
    toml = '[steps.ingest]\ndataset = "d"\npath = "in.csv"\n[steps.more]\npython = "steps:more"\ninputs = { rows = "ingest" }\n'
    toml += '[steps.fit]\nuse = "train"\ninputs = { train = "more" }\ntask = "binary"\ntarget = "y"\n'
    toml += '[trainer]\nuse = "lightgbm"\n[trainer.lightgbm]\nnum_iterations = 2\n'
    more = "import polars as pl\ndef more(rows: pl.DataFrame): return rows.with_columns(b=pl.col('a') + 1)\n"
    bench.write(toml, steps=more, files={"in.csv": rows.write_csv()})
    run = bench.run().run
    with bench.open() as project:
        log = project.runs.log(run, "fit")
    assert "a request carries a, b" in log
    assert "b from step more (Python)" in log
    assert "a from step" not in log
