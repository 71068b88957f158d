"""How sure a drop of a metric is: the error of the window's rows, and that of the rows that the model was evaluated on."""

from __future__ import annotations

import numpy as np
import pytest

from mlopsfw.evaluation import OWN
from mlopsfw.roles import Baseline
from mlopsfw_monitor_drift import DriftConfig
from mlopsfw_monitor_drift.performance import Realised, _standard_errors, _worse


def test_the_standard_error_of_a_mean_is_its_spread_over_the_root_of_the_rows():
    draw = np.random.default_rng(0)
    p = draw.uniform(0.05, 0.95, 4000)
    labels = (draw.random(4000) < p).astype(np.int64)
    losses = -np.log(np.where(labels == 1, p, 1 - p))
    parts = np.arange(4000) % 20
    errors = _standard_errors(OWN, "binary", ["log_loss"], (labels, {"probability": p}), parts)
    assert errors["log_loss"] == pytest.approx(losses.std() / np.sqrt(4000), rel=0.4)


@pytest.mark.parametrize(("rows", "alarm"), [(100_000, True), (50, False)])
def test_a_drop_from_what_few_rows_said_at_evaluation_is_no_alarm(rows, alarm):
    now = Realised("auc", OWN["auc"], value=0.70, error=0.02, rows=1000, freedom=19)
    finding = _worse(now, Baseline(metrics={"auc": 0.80, "rows": rows}), DriftConfig(), alpha=0.01)
    assert (finding is not None) is alarm
