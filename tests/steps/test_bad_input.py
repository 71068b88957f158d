"""Bad input, by each bundled trainer in a pipeline: it does no harm, or it is refused in words that say what to do.

Elsewhere are tested a NaN loss and a module of the wrong shape (test_trainer_torch_module.py), a trial that crashes (test_steps_search.py), an
estimator that no open format holds (test_trainer_sklearn.py), and copies on both sides of a split (test_steps_validate.py).
"""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from mlopsfw.errors import DataError, MlopsfwError, StorageFull
from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.pipeline.run.display import Display

TOML = """
[trainer.torch]
use = "torch"
epochs = 3
checkpoint_every = 2
[trainer.module]
use = "torch"
module = "nets:Net"
epochs = 30
[trainer.sklearn]
use = "sklearn"
factory = "nets:linear"
[trainer.lightgbm]
use = "lightgbm"
num_iterations = 5
num_threads = 1
[trainer.xgboost]
use = "xgboost"
num_boost_round = 5
nthread = 1
[steps.train]
python = "rows:train"
[steps.valid]
python = "rows:valid"
[steps.fit]
use = "train"
trainer = "TRAINER"
inputs = { train = "train", valid = "valid" }
task = "TASK"
target = "y"
features = FEATURES
[steps.judge]
use = "evaluate"
inputs = { model = "fit", rows = "valid", train = "train" }
"""
NETS = """
def linear():
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    numbers = SimpleImputer(keep_empty_features=True)
    texts = OneHotEncoder(handle_unknown="ignore")
    return make_pipeline(ColumnTransformer([("n", numbers, ["a", "b"]), ("t", texts, ["c"])]), LogisticRegression())

try:
    import torch
except ModuleNotFoundError:
    pass
else:
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)
        def forward(self, a, b):
            return self.layer(torch.stack([a, b], dim=1))

    class Letters(Net):
        def __init__(self):
            super().__init__()
            self.letters = torch.nn.Embedding(256, 1)
        def forward(self, a, b, c):
            return super().forward(a, b) + self.letters(c.to(torch.int64)).mean(1)
"""
ROWS = """
import numpy as np, polars as pl
ROWS = 300
def table(seed):
    draw = np.random.default_rng(seed)
    a = draw.normal(size=ROWS)
    y = (a + 0.3 * draw.normal(size=ROWS) > 0).astype(int)
    return pl.DataFrame({"a": a, "b": draw.normal(size=ROWS), "c": draw.choice(["x", "y"], ROWS).tolist(), "y": y})
def train():
    return spoilt(table(0), False)
def valid():
    return spoilt(table(1), True)
def spoilt(rows, judging):
    at = pl.int_range(pl.len())
    return rows.with_columns(SPOILT)
"""
NEEDS = {"torch": "torch", "module": "torch", "sklearn": "skl2onnx", "lightgbm": "lightgbm", "xgboost": "xgboost"}
HARMLESS = {
    "a number that is null in every row": "b=pl.lit(None, pl.Float64)",
    "a number that is infinite in every row": 'b=pl.lit(float("inf"))',
    "a number that is infinite in some rows": 'b=pl.when(at % 7 == 0).then(float("-inf")).otherwise("b")',
    "a number that is NaN in every row": 'b=pl.lit(float("nan"))',
    "a number that never changes": "b=pl.lit(3.0)",
    "a text that is null in every row": "c=pl.lit(None, pl.String)",
    "a category that only validation has": 'c=pl.lit("new") if judging else pl.col("c")',
    "a text with as many values as rows": 'c=pl.format("{}/{}", pl.lit(judging), at)',
}
REFUSED = {
    "module": {
        "a number that is null in every row": "the column 'b' holds nulls",
        "a number that is infinite in every row": "the column 'b' holds NaN or infinite",
        "a number that is infinite in some rows": "the column 'b' holds NaN or infinite",
        "a number that is NaN in every row": "the column 'b' holds NaN or infinite",
    },
    "sklearn": {
        "a number that is infinite in every row": "Input X contains infinity",
        "a number that is infinite in some rows": "Input X contains infinity",
    },
}
"""Trainer → what it refuses → in which words. The others take it."""


@pytest.fixture
def judged(bench):
    """Return a function that runs the pipeline in this process, and returns the metrics."""

    def run(trainer, spoilt, task="binary"):
        pytest.importorskip(NEEDS[trainer])
        features = '["a", "b"]' if trainer == "module" else '["a", "b", "c"]'
        toml = TOML.replace("TRAINER", trainer).replace("TASK", task).replace("FEATURES", features)
        bench.write(toml, nets=NETS, rows=ROWS.replace("SPOILT", spoilt))
        return bench.value(bench.run(debug=True), "judge", "metrics")

    return run


def _night(trainer, what):
    """The push tier tries each oddity with the quickest trainer, and one that others refuse; the night tries all."""
    by_day = trainer == "lightgbm" or (
        what in REFUSED.get(trainer, {}) and what == "a number that is infinite in every row"
    )
    return pytest.param(trainer, what, marks=[] if by_day else pytest.mark.nightly)


BY_DAY = ["lightgbm", *(pytest.param(name, marks=pytest.mark.nightly) for name in NEEDS if name != "lightgbm")]
TABULAR = [each for each in BY_DAY if each == "lightgbm" or each.values != ("module",)]
"""A module has one output for each class, and is refused where the rows to learn from lack a class."""


@pytest.mark.parametrize(("trainer", "what"), [_night(trainer, what) for trainer in NEEDS for what in HARMLESS])
def test_an_odd_column_does_no_harm_or_is_refused_by_name(judged, trainer, what):
    words = REFUSED.get(trainer, {}).get(what)
    if words:
        with pytest.raises(MlopsfwError, match=words) as caught:
            judged(trainer, HARMLESS[what])
        assert caught.value.hint
    else:
        assert judged(trainer, HARMLESS[what])["auc"] > 0.85


@pytest.mark.parametrize("trainer", BY_DAY)
def test_a_constant_target_is_an_error_that_says_where_to_look(judged, trainer):
    with pytest.raises(
        DataError, match="every training row has the label 1 in 'y': there is nothing to learn"
    ) as caught:
        judged(trainer, "y=pl.lit(1)")
    assert "how the rows are split" in caught.value.hint


@pytest.mark.parametrize("trainer", BY_DAY)
def test_a_class_that_only_validation_lacks_leaves_the_metrics_out_that_need_it(judged, trainer):
    metrics = judged(trainer, 'y=pl.lit(1) if judging else pl.col("y")')
    assert "auc" not in metrics
    assert np.isfinite(metrics["log_loss"])


@pytest.mark.parametrize("trainer", TABULAR)
def test_a_class_that_a_fold_lacks_has_no_probability_there_and_a_warning_says_so(bench, here, monkeypatch, trainer):
    pytest.importorskip(NEEDS[trainer])
    features = '["a", "b"]' if trainer == "module" else '["a", "b", "c"]'
    toml = TOML.replace("TRAINER", trainer).replace("TASK", "multiclass").replace("FEATURES", features)
    toml = toml[: toml.index("[steps.judge]")].replace(
        'use = "train"', 'use = "validate"\nfolds = { folds = 3, by = "group", group = "c" }'
    )
    toml = toml.replace(
        'inputs = { train = "train", valid = "valid" }', 'inputs = { rows = "train" }\nlearning_curve = false'
    )
    spoilt = 'c=(at % 3).cast(pl.String), y=pl.when((at % 3 == 2) & (at % 2 == 0)).then(pl.lit("rare")).otherwise(pl.col("y").cast(pl.String))'
    bench.write(
        toml,
        nets=NETS,
        rows=ROWS.replace("SPOILT", spoilt),
    )
    with bench.open() as project:
        monkeypatch.setattr("mlopsfw.project.pipeline._Workers.engine", lambda *_: here(project, None))
        done = project.pipeline.start(Display(project.workspace, None), debug=True)
    report = bench.value(done, "fit", "report")
    (says,) = [each["says"] for each in report["warnings"] if each["about"] == "classes"]
    assert "class 'rare' is missing in" in says
    assert "join it with another class" in says
    assert np.isfinite(report["log_loss"])


@pytest.mark.parametrize("trainer", NEEDS)
@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_million_levels_of_a_text_leave_a_model_that_answers_or_are_refused_in_words(bench, trainer):
    pytest.importorskip(NEEDS[trainer])
    toml = TOML.replace("TRAINER", trainer).replace("TASK", "binary").replace("FEATURES", '["a", "b", "c"]')
    toml = toml.replace("epochs = 3\ncheckpoint_every = 2\n", "epochs = 1\n")
    toml = toml.replace('module = "nets:Net"\nepochs = 30', 'module = "nets:Letters"\nlength = 12\nepochs = 1')
    many = ROWS.replace("ROWS = 300", "ROWS = 1_000_000").replace(
        "SPOILT", HARMLESS["a text with as many values as rows"]
    )
    bench.write(toml, nets=NETS, rows=many)
    if trainer == "sklearn":  # a million columns of one-hot fit no ONNX file
        with pytest.raises(MlopsfwError, match="no open format holds this Pipeline") as caught:
            bench.run(debug=True)
        assert caught.value.hint
    else:
        assert bench.value(bench.run(debug=True), "judge", "metrics")["auc"] > 0.9


def test_a_disk_that_fills_at_a_checkpoint_keeps_the_one_before_and_resume_goes_on(judged, bench, monkeypatch):
    pytest.importorskip("torch")
    from mlopsfw_trainer_torch import checkpoint

    whole = judged("torch", "b=pl.lit(0.0)")
    bench.edit("mlopsfw.toml", "epochs = 3", "epochs = 4")
    write, names = checkpoint._write, []

    def full(file: Path, data: bytes):
        names.append(file.parent.name)
        if len(set(names)) > 2:
            write(file, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, data)

    monkeypatch.setattr(checkpoint, "_write", full)
    with pytest.raises(
        (StorageFull, PluginError), match=r"no room for the checkpoint of step \d+ .* the one of step \d+ is kept"
    ):
        bench.run(debug=True)
    (kept,) = (bench.root / ".mlopsfw" / "runs").glob("*/fit/checkpoints-*")
    assert not list(kept.glob("unfinished-*"))
    assert len(list(kept.glob("step-*"))) == 2
    monkeypatch.undo()
    again = bench.value(bench.resume(debug=True), "judge", "metrics")
    assert again["auc"] == pytest.approx(whole["auc"], abs=0.1)
