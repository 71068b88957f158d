"""Money is what decisions bring by the table of the file, and stands among the metrics only where the file has one."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from mlopsfw.errors import ConfigError, UsageError
from mlopsfw.models.money import MoneyConfig, _build, money, value_text
from mlopsfw.testing.metric import MetricConformance


class TestMoney(MetricConformance):
    @pytest.fixture(params=[{"gain": ((0, -5), (-100, 20))}, {"gain": ((1, 0, 0),) * 3}, {"over": 1.0}], ids=str)
    def metric(self, request):
        return _build(MoneyConfig(**request.param), None)


GAIN = [[0, -5], [-100, 20]]
LABELS, P = np.array([0, 0, 1, 1]), np.array([0.01, 0.3, 0.3, 0.9])


def of(outputs, labels=LABELS, weight=None, **options):
    config = msgspec.convert(options, MoneyConfig)
    return money(config, labels, {"out": outputs}, weight)


def test_a_decision_brings_what_the_table_says():
    assert of(P, gain=GAIN, threshold=0.5) == (0 + 0 - 100 + 20) / 4
    assert of(P, gain=GAIN, threshold=0.5, weight=np.array([0, 0, 0, 1.0])) == 20


def test_without_a_threshold_each_row_is_decided_for_the_largest_expected_gain():
    assert of(P, gain=GAIN) == (0 - 5 + 20 + 20) / 4
    p = np.stack([1 - P, P], axis=1)
    assert of(p, gain=GAIN) == of(P, gain=GAIN)


def test_no_threshold_brings_more_than_the_expected_gain_on_true_probabilities():
    draw = np.random.default_rng(0)
    p = draw.random(20_000)
    labels = (draw.random(20_000) < p).astype(np.int64)
    best = max(of(p, labels, gain=GAIN, threshold=float(at)) for at in np.linspace(0, 1, 41))
    assert of(p, labels, gain=GAIN) >= best - 0.1


def test_a_regression_pays_for_each_unit_by_which_it_is_wrong():
    assert of(np.array([3.0, 1.0]), np.array([1.0, 2.0]), over=1.0, under=10.0) == -(2 + 10) / 2


def test_without_a_table_there_is_no_money_and_a_wrong_one_is_refused():
    assert of(P) is None
    assert of(P, LABELS.astype(float)) is None
    with pytest.raises(UsageError, match="3 classes, and the model has 2"):
        of(P, gain=[[0] * 3] * 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("gain = [[0, -5], [1]]", "metric.money.gain: row 1 has 1 numbers, and the table has 2 rows"),
        ("gain = [[5]]", "metric.money.gain: it has one class"),
        ("over = -3", "metric.money.over: expected `float` >= 0"),
    ],
)
def test_a_wrong_price_is_refused_with_its_place_in_the_file(make_project, options, said):
    project = make_project(f"[metric.money]\n{options}\n")
    with pytest.raises(ConfigError) as raised:
        project.metrics["money"]
    assert f"mlopsfw.toml:{2 + project_lines(project)}: {said}" in str(raised.value)
    assert "raised by plugin" not in str(raised.value)


def project_lines(project):
    """Return how many lines come before the table of money."""
    return (project.root / "mlopsfw.toml").read_text().splitlines().index("[metric.money]")


def test_a_text_tells_the_money_of_a_thousand_predictions_and_other_metrics_as_they_are():
    assert value_text("auc", 0.6951, 0.0042) == "auc 0.695 ± 0.004"
    assert value_text("money", 3.1254, 0.31) == "money 3,125 ± 310 per 1,000 predictions"
    assert value_text("money", -0.0123) == "money -12.3 per 1,000 predictions"
