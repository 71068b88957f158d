"""The comparison with the champion: its gain is positive where the model is better, whichever way the metric points."""

from __future__ import annotations

import pytest

ROWS = """
import numpy as np
import polars as pl

def rows():
    x = np.random.default_rng(0).normal(size=400)
    return pl.DataFrame({"x": x, "regression": 3 * x, "binary": x + 0.3 * np.sin(99 * x) > 0})
"""
TOML = """
[steps.rows]
python = "rows:rows"
[steps.train]
inputs = { train = "rows" }
trainer = "sklearn"
task = "TASK"
target = "TASK"
exclude = ["OTHER"]
[steps.evaluate]
inputs = { model = "train", rows = "rows", train = "rows" }
champion = "models:/toy@champion"
metric = "METRIC"
[steps.gate]
inputs = { metrics = "evaluate" }
rules = ["compare.low > -0.01"]
[trainer.sklearn]
estimator = "ESTIMATOR"
params = { VALUE }
"""
REGISTERED = """
[steps.register]
inputs = { model = "train" }
name = "toy"
alias = "champion"
"""
GOOD_AND_BAD = {
    "regression": ("sklearn.linear_model:Ridge", "alpha = 0.01", "alpha = 400.0"),
    "binary": ("sklearn.linear_model:LogisticRegression", "C = 100.0", "C = 0.0001"),
}


@pytest.mark.parametrize(
    ("task", "metric", "better"),
    [
        pytest.param("regression", "rmse", True, marks=pytest.mark.nightly),
        ("regression", "rmse", False),
        ("binary", "log_loss", True),
    ],
)
def test_a_gain_is_positive_where_the_model_is_better_and_the_documented_rule_refuses_the_worse(
    bench, task, metric, better
):
    estimator, good, bad = GOOD_AND_BAD[task]
    first, second = (bad, good) if better else (good, bad)
    other = "binary" if task == "regression" else "regression"
    text = TOML.replace("TASK", task).replace("OTHER", other).replace("METRIC", metric).replace("ESTIMATOR", estimator)
    head, tail = text.split("[steps.evaluate]")
    bench.write(head + REGISTERED + tail[tail.index("[trainer") :].replace("VALUE", first), rows=ROWS)
    assert bench.run().status == "done"
    bench.write(text.replace("VALUE", second), rows=ROWS)
    done = bench.run()
    compared = bench.value(done, "evaluate", "metrics")["compare"]
    assert (done.status, done.failed) == (("done", "") if better else ("refused", "gate")), done.failure
    assert compared["better"] is better
    assert all((compared[name] > 0) is better for name in ("low", "gain", "high"))
    assert compared["low"] <= compared["gain"] <= compared["high"]


def test_the_gain_over_the_better_baseline_has_an_interval_that_a_gate_can_ask_for(bench):
    text = TOML.replace("TASK", "binary").replace("OTHER", "regression").replace("METRIC", "auc")
    text = text.replace("ESTIMATOR", GOOD_AND_BAD["binary"][0]).replace("VALUE", GOOD_AND_BAD["binary"][1])
    bench.write(text.replace("compare.low > -0.01", "against_baseline.low > 0.2"), rows=ROWS)
    done = bench.run()
    against = bench.value(done, "evaluate", "metrics")["against_baseline"]
    assert against["low"] <= against["gain"] <= against["high"] < 0.1  # both are nearly perfect
    assert done.failed == "gate"
