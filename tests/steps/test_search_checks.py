"""A search, or a validation, that cannot be is refused when the pipeline is read, with its key and line: no step before it runs."""

from __future__ import annotations

import pytest

from mlopsfw.errors import ConfigError
from mlopsfw.project.facade import Project

pytest.importorskip("optuna")

_ROWS = "def rows():\n    raise SystemExit('a step ran')\n"
_STEP = """
[steps.rows]
python = "rows:rows"
[steps.fit]
inputs = { INPUT = "rows" }
task = "binary"
target = "y"
exclude = ["id"]
[trainer.small]
use = "lightgbm"
[trainer.line]
use = "sklearn"
factory = "sklearn.linear_model:LogisticRegression"
"""
_GRID = 'tune.sampler = "grid"\n'
_SETS = "tune.space.features.choices = "


def planned(folder, use, lines):
    """Plan a pipeline whose step `fit` has these lines; a search has two trainers and one trial unless they say otherwise."""
    tune = 'tune.trainers = ["small", "line"]\ntune.trials = 1\n' if use == "train" else 'trainer = "small"\n'
    toml = _STEP.replace("INPUT", {"train": "train", "validate": "rows"}[use])
    toml = toml.replace("[trainer.small]", f'use = "{use}"\n{tune}[trainer.small]', 1)
    names = {line.partition(" =")[0] for line in lines.splitlines()}
    kept = [line for line in toml.splitlines() if line.partition(" =")[0] not in names]
    text = "\n".join(kept).replace("[trainer.small]", f"{lines}\n[trainer.small]", 1)
    (folder / "rows.py").write_text(_ROWS)
    (folder / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n{text}', encoding="utf-8")
    with Project.open(folder) as project:
        return project.pipeline.plan()


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        ('tune.metric = "acu"', "tune.metric", "no metric 'acu'"),
        ('tune.metric = "rmse"', "tune.metric", "only for regression"),
        ('tune.also = ["row_mss"]', "tune.also", "no metric 'row_mss'"),
        ('tune.also = ["auc"]', "tune.also", "compared by already"),
        ('tune.also = ["row_ms", "row_ms"]', "tune.also", "twice"),
        ("tune.limits.r2 = 1.0", "tune.limits", "only for regression"),
        ('tune.limits."gap.y" = 0.1', "tune.limits", "no column that divides"),
        ("tune.limits.row_ms = -1.0", r"tune.limits.row_ms", "no trial has"),
        ('tune.trainers = ["small", "small"]', "tune.trainers", "twice"),
        ('tune.folds.by = "group"', "tune.folds.group", "need a column"),
        ('tune.folds = { label_delay = "soon" }', "tune.folds.label_delay", "soon"),
        ('time = "at"\ntune.folds = { by = "random" }', "tune.folds.by", "event time"),
        ('tune.folds.by = "time"', "time", "need an event time"),
        ('tune.space."other.rate" = { low = 1, high = 2 }', "tune.space.other.rate", "no trainer of the search"),
        ('tune.space."line.factory" = { choices = ["rows:rows"] }', "tune.space.line.factory", "no search varies"),
        ('tune.space."small.rate" = { low = 1, high = 2 }', "tune.space.small.rate", "unknown key"),
        ('tune.space."small.num_leaves" = { low = 8, high = 2 }', "tune.space.small.num_leaves.low", "not below"),
        ('tune.space."small.num_leaves" = { low = 2.0, high = 8.0 }', "tune.space.small.num_leaves", "integer"),
        ('tune.space."small.num_leaves" = { choices = [4, 4] }', "tune.space.small.num_leaves.choices", "twice"),
        (
            'tune.space."small.learning_rate" = { low = 0, high = 1, log = true }',
            "tune.space.small.learning_rate.log",
            "0",
        ),
        (
            f'{_GRID}tune.space."line.params.C" = {{ low = 1.0, high = 2.0 }}',
            "tune.space.line.params.C",
            "needs a step",
        ),
        (f'{_SETS}[["y"]]', "tune.space.features", "the target 'y'"),
        (f'{_SETS}[["a"], ["a", "id"]]', "tune.space.features", "in `exclude`"),
        (f"{_SETS}[[]]", "tune.space.features", "no list of columns"),
        (f'{_SETS}["a"]', "tune.space.features", "no list of columns"),
        ("tune.space.features = { low = 1, high = 2 }", "tune.space.features", "no list of columns"),
        ('tune.trainers = ["small"]\ntune.sampler = "cmaes"\ntune.features = "null"', "tune.sampler", "numbers alone"),
        ('tune.trainers = ["line"]', "tune.space", "nothing to search"),
        ('features = ["a", "y"]', "features", "the target 'y'"),
        ('weight = "y"', "weight", "'y' is the target"),
        ('time = "y"', "time", "'y' is the target"),
        ('tune.sampler = "tpee"', "tune.sampler", "'tpe', 'cmaes', 'random', 'grid'"),
        ('task = "ranking"', "task", "cannot be validated"),
    ],
)
def test_a_search_that_cannot_be_is_refused_with_its_line_before_any_step_runs(tmp_path, lines, key, words):
    with pytest.raises(ConfigError, match=words) as caught:
        planned(tmp_path, "train", lines)
    assert caught.value.key == f"steps.fit.{key}"
    assert caught.value.line


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        ('metric = "acu"', "metric", "no metric 'acu'"),
        ('folds.by = "group"', "folds.group", "need a column"),
        ('time = "at"\nfolds.by = "random"', "folds.by", "event time"),
        ('against = ["line", "line"]', "against", "twice"),
    ],
)
def test_a_validation_that_cannot_be_is_refused_with_its_line_before_any_step_runs(tmp_path, lines, key, words):
    with pytest.raises(ConfigError, match=words) as caught:
        planned(tmp_path, "validate", lines)
    assert caught.value.key == f"steps.fit.{key}"


def test_a_search_that_can_be_is_planned(tmp_path):
    assert [each.action for each in planned(tmp_path, "train", f'{_SETS}[["a"], ["a", "b"]]')] == ["run", "run"]


def test_doctor_says_what_is_wrong_with_a_search(tmp_path):
    with pytest.raises(ConfigError):
        planned(tmp_path, "train", 'tune.metric = "acu"')
    with Project.open(tmp_path) as project:
        said = [each for each in project.doctor.examine() if each.check == "pipeline"]
    assert [(each.level, "steps.fit.tune.metric" in each.message) for each in said] == [("error", True)]
