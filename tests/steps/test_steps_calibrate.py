"""The step calibrate: a bundle whose probabilities are true on rows that no one fitted to, with intervals or sets on request."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil

import msgspec
import numpy as np
import polars as pl
import pytest

from mlopsfw.errors import BundleError, DataError, UsageError
from mlopsfw.models.bundle.calibrated import Calibration
from mlopsfw.models.bundle.scoring import Extras, score
from mlopsfw.models.calibration import Temperature
from mlopsfw.models.metrics import evaluate
from mlopsfw.pipeline.graph.step import BundleFolder
from mlopsfw.steps import calibrate as calibrate_step
from mlopsfw.steps import train as train_step
from mlopsfw.testing.step import Bench

TOML = """
[trainer.deep]
use = "lightgbm"
num_iterations = 60
num_leaves = 63
min_data_in_leaf = 1
num_threads = 1
holdout = 0.0
"""


def table(rows, seed=0):
    draw = np.random.default_rng(seed)
    x, kind = draw.normal(size=rows), draw.choice(["a", "b"], rows)
    noise = draw.normal(size=rows) * np.where(kind == "a", 1.0, 3.0)
    value = 10 * x + noise * (3 + np.abs(x))
    return pl.DataFrame(
        {
            "x": x,
            "kind": kind,
            "late": x + noise > 0,
            "level": np.array(["low", "middle", "high"])[np.digitize(x + noise, [-1, 1])],
            "value": value,
        }
    )


TASKS = {"binary": "late", "multiclass": "level", "regression": "value"}
MODELS = {
    **{task: (task, target, {}) for task, target in TASKS.items()},
    "quantiles": ("regression", "value", {"quantiles": [0.05, 0.95]}),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of a trained bundle of each model, and a project to calibrate it in."""
    from mlopsfw.project.facade import Project

    folder = tmp_path_factory.mktemp("calibrate")
    (folder / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n{TOML}')
    with Project.open(folder) as project:
        made = {}
        for number, (name, (task, target, more)) in enumerate(MODELS.items()):
            options = {"trainer": "deep", "task": task, "target": target, "features": ["x", "kind"], **more}
            bench = Bench(project, next(iter(train_step.mlopsfw_steps())), options)
            bench._attempts = number
            artifact = bench.run({"train": table(600)})["model"]
            made[name] = project.blobs.get_folder(artifact.blob, folder / name)
        yield project, made, itertools.count(10)


@pytest.fixture
def calibrate(trained, tmp_path):
    """Return a calibration: the bundle, opened anew, and the report."""
    project, folders, attempts = trained

    def run(task, rows=1000, frame=None, **options):
        bench = Bench(project, next(iter(calibrate_step.mlopsfw_steps())), options)
        bench._attempts = next(attempts)
        given = {"model": BundleFolder(folders[task]), "rows": table(rows, seed=1) if frame is None else frame}
        made = bench.run(given)
        folder = project.blobs.get_folder(made["model"].blob, tmp_path / f"{bench._attempts}")
        return project.bundles.open(folder), bench.load(made["report"])

    return run


def test_a_model_that_is_too_sure_is_made_honest(trained, calibrate):
    project, folders, _ = trained
    bundle, report = calibrate("binary", 2000)
    before, test = project.bundles.open(folders["binary"]), table(3000, seed=5)
    ece = [
        evaluate("binary", test["late"].cast(int).to_numpy(), each.predict_table(test)["probability"])["ece"]
        for each in (before, bundle)
    ]
    assert ece[1] < ece[0] / 2
    assert report["map"] in {"temperature", "isotonic"}
    assert report["maps"]["temperature"]["low"] > 0
    assert "conformal lac" in bundle.manifest.facts["calibration"]
    assert "## Calibration" in (bundle.folder / "card.md").read_text()
    assert bundle.profile()["probability"] != before.profile()["probability"]
    assert bundle.profile()["x"] == before.profile()["x"]


@pytest.mark.parametrize("task", TASKS)
def test_intervals_and_sets_hold_the_truth_as_often_as_asked(calibrate, task):
    bundle, report = calibrate(task)
    test = table(4000, seed=7)
    columns = {name: test[name] for name in ("x", "kind")}
    answer = bundle.predict_uncertain({name: each.to_list() for name, each in columns.items()}, 0.2)
    if task == "regression":
        truth = test["value"].to_numpy()
        hits = (answer["value.low"] <= truth) & (truth <= answer["value.high"])
    else:
        (name,) = (name for name in answer if name.endswith(".set"))
        codes = np.array([bundle.manifest.classes.index(each) for each in test[TASKS[task]]])
        hits = answer[name][np.arange(4000), codes]
    assert hits.mean() == pytest.approx(0.8, abs=0.05)
    assert report["coverage"]["covered"] == pytest.approx(0.9, abs=0.06)


def test_weights_count_in_the_map_the_intervals_and_the_report(calibrate):
    frame = table(2000, seed=1)
    heavy = frame.with_columns(pl.when(pl.col("kind") == "b").then(1.0).otherwise(1e-6).alias("w"))
    alone, of_b = calibrate("regression", frame=heavy.filter(pl.col("kind") == "b"), kind="absolute")
    bundle, report = calibrate("regression", frame=heavy, weight="w", kind="absolute")
    rows = {"x": [0.5], "kind": ["b"]}
    high = [each.predict_uncertain(rows, 0.2)["value.high"][0] for each in (alone, bundle)]
    assert high[0] == pytest.approx(high[1])
    assert report["coverage"]["size"] == pytest.approx(of_b["coverage"]["size"], rel=0.15)
    maps = [
        calibrate("binary", frame=heavy, weight=each)[1]["maps"]["temperature"]["log_loss"]["before"]
        for each in ("", "w")
    ]
    assert maps[0] < maps[1]  # those of kind b are the hard ones
    with pytest.raises(UsageError, match="no column 'wait'"):
        calibrate("binary", weight="wait")


def test_each_group_gets_its_promise_and_a_wider_interval_where_it_is_less_certain(calibrate):
    bundle, report = calibrate("regression", 2000, by="kind", kind="absolute")
    assert set(report["conformal"]["groups"]) == {"", "a", "b"}
    answer = bundle.predict_uncertain({"x": [0.5, 0.5, 0.5], "kind": ["a", "b", "new"]}, 0.1)
    width = answer["value.high"] - answer["value.low"]
    assert width[0] < width[2] < width[1]


def test_quantiles_of_a_model_become_intervals_that_are_narrow_where_the_noise_is_small(trained, calibrate):
    bundle, report = calibrate("quantiles", 2000)
    plain, _ = calibrate("regression", 2000, kind="absolute")
    assert report["conformal"]["kind"] == "cqr"
    test = table(4000, seed=7)
    columns = {name: test[name].to_list() for name in ("x", "kind")}
    low, high = (bundle.predict_uncertain(columns, 0.1)[f"value.{end}"] for end in ("low", "high"))
    assert ((low <= test["value"].to_numpy()) & (test["value"].to_numpy() <= high)).mean() == pytest.approx(
        0.9, abs=0.03
    )
    quiet = (test["kind"] == "a").to_numpy()
    assert (high - low)[quiet].mean() < 0.8 * (high - low)[~quiet].mean()
    usual = plain.predict_uncertain(columns, 0.1)
    assert (high - low).mean() < (usual["value.high"] - usual["value.low"]).mean()
    assert np.array_equal(bundle.predict_uncertain(columns, 0.3)["value"], usual["value"])


def test_groups_weights_and_other_alphas_hold_for_intervals_around_quantiles(calibrate):
    frame = table(3000, seed=1).with_columns(w=pl.when(pl.col("kind") == "b").then(1.0).otherwise(0.2))
    bundle, report = calibrate("quantiles", frame=frame, by="kind", weight="w")
    assert set(report["conformal"]["groups"]) == {"", "a", "b"}
    test = table(4000, seed=7)
    answer = bundle.predict_uncertain({name: test[name].to_list() for name in ("x", "kind")}, 0.4)
    hits = (answer["value.low"] <= test["value"].to_numpy()) & (test["value"].to_numpy() <= answer["value.high"])
    for kind in ("a", "b"):
        assert hits[(test["kind"] == kind).to_numpy()].mean() == pytest.approx(0.6, abs=0.05)


def test_sets_by_class_hold_each_class_as_often_as_asked(calibrate):
    bundle, report = calibrate("multiclass", 3000, by="class")
    assert set(report["conformal"]["groups"]) == {"", "low", "middle", "high"}
    test = table(4000, seed=7)
    sets = bundle.predict_uncertain({name: test[name].to_list() for name in ("x", "kind")}, 0.2)["probabilities.set"]
    for code, name in enumerate(bundle.manifest.classes):
        assert sets[(test["level"] == name).to_numpy(), code].mean() == pytest.approx(0.8, abs=0.07)


def test_an_alpha_that_a_class_cannot_promise_is_refused_by_the_name_of_the_class(calibrate):
    bundle, _ = calibrate("multiclass", 3000, by="class")
    with pytest.raises(UsageError, match=r"of the group '(low|middle|high)'"):
        bundle.predict_uncertain({"x": [0.5], "kind": ["a"]}, 0.0008)


def test_a_file_is_scored_with_intervals_or_the_names_of_classes(trained, calibrate):
    for task, names in (
        ("regression", ["value.low", "value.high"]),
        ("quantiles", ["value.low", "value.high"]),
        ("multiclass", ["probabilities.set"]),
    ):
        bundle, _ = calibrate(task)
        scored = score(bundle, table(20).select("x", "kind"), Extras(0.1))
        assert set(names) == set(scored.columns) - {"x", "kind", *(each.name for each in bundle.manifest.outputs)}
    assert set(scored["probabilities.set"].explode()) <= {"low", "middle", "high"}


def test_a_model_without_calibration_says_how_to_get_one(trained):
    project, folders, _ = trained
    with pytest.raises(UsageError, match="the model has no intervals") as error:
        project.bundles.open(folders["binary"]).predict_uncertain({"x": [1.0], "kind": ["a"]}, 0.1)
    assert 'use = "calibrate"' in error.value.hint


@pytest.mark.parametrize(
    ("task", "options", "error", "words"),
    [
        ("binary", {"kind": "absolute"}, BundleError, "'absolute' is not for the task 'binary'"),
        ("regression", {"kind": "cqr"}, UsageError, "no two outputs that are quantiles"),
        ("regression", {"by": "class"}, BundleError, "'class' is no input of the model"),
        ("regression", {"by": "x"}, BundleError, "'x' is no input of the model whose values are groups"),
        ("binary", {"group": "who"}, DataError, "group: the rows have no column 'who'"),
        ("binary", {"rows": 12}, DataError, "12 rows are too few"),
        ("binary", {"frame": table(30).with_columns(late=pl.lit(None, pl.Boolean))}, DataError, "none of the 30"),
        (
            "binary",
            {"frame": table(30).with_columns(late=pl.lit(True))},
            DataError,
            "every calibration row has the label True",
        ),
        (
            "regression",
            {"frame": table(30).with_columns(value=pl.lit(float("inf")))},
            DataError,
            "holds infinite values",
        ),
        ("regression", {"frame": table(30).with_columns(value=pl.lit(float("nan")))}, DataError, "none of the 30"),
    ],
)
def test_what_cannot_be_calibrated_is_an_error_in_words(calibrate, task, options, error, words):
    with pytest.raises(error, match=words):
        calibrate(task, **options)


def test_a_calibrated_model_is_not_calibrated_twice(trained, calibrate):
    bundle, _ = calibrate("binary")
    trained[1]["twice"] = bundle.folder
    with pytest.raises(UsageError, match="calibrated already"):
        calibrate("twice")


def test_a_calibration_that_was_altered_is_no_bundle(trained, calibrate, tmp_path):
    project, _, _ = trained
    bundle, _ = calibrate("regression")
    folder = tmp_path / "altered"
    shutil.copytree(bundle.folder, folder)
    wrong = Calibration(map=Temperature(temperature=2.0), conformal=bundle.calibration.conformal)
    (folder / "calibration.json").write_bytes(msgspec.json.encode(wrong))
    with pytest.raises(BundleError, match="was altered"):
        project.bundles.open(folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"]["calibration.json"] = hashlib.sha256((folder / "calibration.json").read_bytes()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="cannot be used"):
        project.bundles.open(folder)


def test_the_coverage_of_the_report_is_that_of_rows_that_the_intervals_do_not_know(calibrate):
    covered = [calibrate("regression", rows=60, seed=seed)[1]["coverage"]["covered"] for seed in range(6)]
    assert min(covered) < 0.9  # the rows that intervals are learned from are covered by at least 90%
    assert np.mean(covered) == pytest.approx(0.9, abs=0.1)
