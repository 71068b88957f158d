"""The kit of metrics: a metric that breaks one promise fails the test of that promise. mlopsfw's own pass it in tests/models."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.roles import Metric
from mlopsfw.testing.metric import MetricConformance, _drawn

CALLS = itertools.count()


def main(outputs):
    return next(iter(outputs.values()))


def error(labels, outputs, weight):
    return float(np.average((main(outputs) - labels) ** 2, weights=weight))


def first_row(labels, outputs, weight):
    return float(abs(main(outputs)[0] - labels[0]))


def unweighted(labels, outputs, weight):
    return error(labels, outputs, None)


def summed(labels, outputs, weight):
    return error(labels, outputs, weight) * (len(labels) if weight is None else 1.0)


def by_row(labels, outputs, weight):
    return (main(outputs) - labels) ** 2


def share_of_spread(labels, outputs, weight):
    with np.errstate(all="ignore"):
        return float(np.float64(error(labels, outputs, weight)) / np.float64(np.ptp(labels)))


def moving(labels, outputs, weight):
    return error(labels, outputs, weight) + next(CALLS)


def sorting(labels, outputs, weight):
    main(outputs).sort()
    return error(labels, outputs, weight)


MUTANTS = {
    "the first row alone": (first_row, False, "test_the_same_rows_give_the_same_number_in_any_order"),
    "without weights": (unweighted, False, "test_a_weight_counts_as_so_many_rows"),
    "a sum": (summed, False, "test_a_weight_counts_as_so_many_rows"),
    "a number for each row": (by_row, False, "test_it_is_defined_on_many_rows_of_each_task"),
    "NaN of one row": (share_of_spread, False, "test_it_is_a_number_or_undefined_however_few_rows_there_are"),
    "NaN of equal rows": (share_of_spread, False, "test_it_is_a_number_or_undefined_where_all_rows_are_equal"),
    "another number each time": (moving, False, "test_the_same_rows_give_the_same_number_in_any_order"),
    "the wrong direction": (error, True, "test_right_answers_are_as_good_as_any"),
    "changed rows": (sorting, False, "test_rows_are_left_as_they_were"),
    "never defined": (lambda *_: None, True, "test_it_is_defined_on_many_rows_of_each_task"),
}  # fmt: skip


class TestError(MetricConformance):
    @pytest.fixture
    def metric(self):
        return Metric(compute=error, higher_is_better=False, tasks=("regression",))


@pytest.mark.parametrize(("compute", "higher", "test"), MUTANTS.values(), ids=MUTANTS)
def test_a_metric_that_breaks_a_promise_fails_the_test_of_that_promise(compute, higher, test):
    metric = Metric(compute=compute, higher_is_better=higher, tasks=("regression",))
    method = getattr(MetricConformance(), test)
    cases = [{mark.args[0]: value} for mark in getattr(method, "pytestmark", ()) for value in mark.args[1]]
    known = {"metric": metric, "rows": _drawn}
    with pytest.raises((AssertionError, PluginError, ValueError)):  # noqa: PT012 - one of the cases fails
        for case in cases or [{}]:
            method(
                **{
                    name: value
                    for name, value in (known | case).items()
                    if name in inspect.signature(method).parameters
                }
            )
