"""A champion and a challenger of another kind: trained on the same rows, measured side by side, registered as versions of one model, opened."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from mlopsfw.testing.trainer import training_rows

pytestmark = pytest.mark.slow

ROWS = """
from mlopsfw.testing.trainer import training_rows
def rows(seed: int, count: int):
    return training_rows(count, seed)
"""
STEPS = """
[trainer]
use = "torch"
[trainer.torch]
epochs = 3
batch_size = 64
hidden = [16]
[trainer.boosted]
use = "lightgbm"
num_iterations = 60
learning_rate = 0.1

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
[steps.champion]
use = "train"
inputs = { train = "split.train", valid = "split.validation" }
task = "binary"
target = "binary"
exclude = ["multiclass", "regression"]
[steps.register_champion]
use = "register"
inputs = { model = "champion" }
name = "toy"
alias = "champion"
[steps.challenger]
use = "train"
trainer = "boosted"
inputs = { train = "split.train", valid = "split.validation" }
task = "binary"
target = "binary"
exclude = ["multiclass", "regression"]
[steps.evaluate]
inputs = { model = "challenger", rows = "later", train = "split.train", champion = "champion" }
[steps.gate]
inputs = { metrics = "evaluate", champion = "evaluate.champion" }
rules = ["auc > 0.8"]
[steps.register]
inputs = { model = "challenger", metrics = "gate" }
name = "toy"
alias = "challenger"
"""


def test_boosted_trees_challenge_a_network_and_answer_for_one_row(bench):
    from mlopsfw.cli.root import cli

    bench.write(STEPS, rows=ROWS)
    done = bench.run()
    metrics = bench.value(done, "evaluate", "metrics")
    assert metrics["auc"] > 0.8
    assert set(metrics["compare"]) >= {"metric", "model", "champion", "gain", "better"}
    with bench.open() as project:
        formats = {
            alias: next(
                iter(
                    project.bundles.open(project.blobs.get_folder(version.bundle, bench.root / alias)).manifest.formats
                )
            )
            for alias in ("champion", "challenger")
            for version in (project.registry.resolve(f"models:/toy@{alias}"),)
        }
    assert formats == {"champion": "onnx", "challenger": "lightgbm"}
    training_rows(1, seed=5).drop("binary", "multiclass", "regression").write_parquet(bench.root / "row.parquet")
    words = ["--project", str(bench.root), "predict", "models:/toy@challenger", str(bench.root / "row.parquet")]
    said = CliRunner().invoke(cli, [*words, "--out", str(bench.root / "answer.jsonl")], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    assert 0 <= json.loads((bench.root / "answer.jsonl").read_text())["probability"] <= 1
