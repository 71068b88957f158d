"""mlopsfw's own metrics pass the kit of their role, are offered by the hook like anyone's, and have directions that make sense."""

from __future__ import annotations

import numpy as np
import pytest

from mlopsfw.kernel.base.errors import PluginError, UsageError
from mlopsfw.kernel.plugins.catalog import installed
from mlopsfw.kernel.roles.metric import Metric
from mlopsfw.models.metrics import OWN, MetricSet, check_value, mlopsfw_metrics
from mlopsfw.testing.metric import MetricConformance


class TestOwnMetrics(MetricConformance):
    @pytest.fixture(params=[*OWN])
    def metric(self, request):
        return OWN[request.param]


def test_each_is_offered_by_the_hook_and_has_an_entry_point():
    offered = {provider.name: provider.build(provider.config(), None) for provider in mlopsfw_metrics()}
    assert offered == {name: OWN[name] for name in OWN}
    claims = {claim.name for claim in installed() if claim.kind == "metric" and claim.distribution == "mlopsfw"}
    assert claims == {*OWN, "money"}


def some(higher, **more):
    return Metric(compute=lambda *_: 1.0, higher_is_better=higher, tasks=("ranking",), **more)


@pytest.mark.parametrize("name", ["log_loss", "brier", "ece", "rmse", "mae"])
def test_errors_are_better_where_they_are_lower(name):
    assert not OWN[name].higher_is_better


@pytest.mark.parametrize("name", ["auc", "accuracy", "f1", "precision", "recall", "r2"])
def test_shares_are_better_where_they_are_higher(name):
    assert OWN[name].higher_is_better


def test_a_metric_that_there_is_not_is_an_error_with_the_nearest():
    with pytest.raises(UsageError, match="no metric 'acuracy'") as caught:
        OWN["acuracy"]
    assert "accuracy" in caught.value.hint


def test_a_task_without_metrics_is_an_error_that_says_how_to_bring_one():
    with pytest.raises(UsageError, match="'ranking'") as caught:
        OWN.evaluate("ranking", np.zeros(2), {"s": np.zeros(2)})
    assert "binary, multiclass, regression" in caught.value.hint
    assert "plugins new metric" in caught.value.hint


def test_the_one_metric_of_a_task_compares_its_models_and_among_several_one_must_be_named():
    assert MetricSet({"ndcg": some(True)}).primary("ranking") == "ndcg"
    with pytest.raises(UsageError, match="by default"):
        MetricSet({"ndcg": some(True), "map": some(True)}).primary("ranking")
    assert OWN.primary("binary") == "auc"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        np.float64("nan"),
        "0.5",
        True,
        np.True_,
        np.array([0.5]),
        np.array(0.5),
        [0.5],
        1j,
        {},
    ],
)
def test_an_answer_that_is_no_finite_number_is_refused(value):
    with pytest.raises(PluginError, match="it returned"):
        check_value(some(True), value)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(2), None])
def test_a_number_is_taken_and_none_is_undefined(value):
    assert check_value(some(True), value) == value
    assert type(check_value(some(True), value)) in {float, type(None)}


@pytest.mark.parametrize("value", [-0.01, 1.01, 7])
def test_a_value_beyond_the_bounds_of_its_metric_is_refused_and_of_another_taken(value):
    with pytest.raises(PluginError, match="not between 0 and 1"):
        check_value(some(True, bounded=True), value)
    assert check_value(some(True), value) == value


def test_rounding_does_not_leave_the_bounds():
    assert check_value(some(True, bounded=True), 1 + 2**-52) > 1


def test_mlopsfws_shares_say_that_they_are_bounded():
    assert {name for name in OWN if OWN[name].bounded} == {
        "accuracy", "auc", "ece", "f1", "positive_rate", "precision", "recall",
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [{"compute": 5}, {"higher_is_better": 1}, {"bounded": 1}, {"tasks": ()}, {"tasks": "binary"}, {"tasks": (1,)}],
)
def test_a_record_that_is_none_is_refused_where_it_is_made(wrong):
    with pytest.raises(TypeError, match="Metric"):
        Metric(**{"compute": lambda *_: 1.0, "higher_is_better": True, "tasks": ("binary",)} | wrong)


@pytest.mark.parametrize("name", list(OWN))
def test_a_gain_is_positive_where_the_first_value_is_better(name):
    better, worse = (0.9, 0.4) if OWN[name].higher_is_better else (0.4, 0.9)
    assert OWN.gain(name, better, worse) == pytest.approx(0.5)
    assert OWN.gain(name, worse, better) == pytest.approx(-0.5)
