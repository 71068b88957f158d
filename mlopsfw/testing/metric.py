"""`MetricConformance`: what every metric of models promises, as a test class. A plugin's author subclasses it and overrides its fixture.

class TestAcmeCost(MetricConformance):
    @pytest.fixture
    def metric(self):
        return build(CostConfig(), None)

The kit draws rows of the tasks `binary`, `multiclass` and `regression`. For a metric of another task, override `rows` too.
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from mlopsfw.kernel.roles.metric import Metric
from mlopsfw.models.metrics import check_value

Rows = tuple[np.ndarray, dict[str, np.ndarray]]
"""Labels, and the columns of the answers."""

_CLASSES = 3


def _drawn(task: str, count: int, seed: int) -> Rows:
    """Return rows of a task whose answers are better than chance."""
    draw = np.random.default_rng(seed)
    if task == "binary":
        labels = draw.integers(0, 2, count)
        return labels, {"probability": np.clip(0.25 + 0.5 * labels + draw.normal(0, 0.2, count), 0.0, 1.0)}
    if task == "multiclass":
        labels = draw.integers(0, _CLASSES, count)
        shares = draw.dirichlet(np.ones(_CLASSES), count) + np.eye(_CLASSES)[labels]
        return labels, {"probabilities": shares / shares.sum(axis=1, keepdims=True)}
    values = draw.normal(size=count)
    return values, {"value": values + draw.normal(0, 0.5, count)}


def _perfect(task: str, labels: np.ndarray, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    name = next(iter(outputs))
    return {name: np.eye(_CLASSES)[labels] if task == "multiclass" else labels.astype(np.float64)}


class MetricConformance:
    """Subclass it, and override the fixtures.

    - `metric`: the metric.
    - `rows`: for a task that the kit does not know, a function of task, count and seed that returns labels and outputs.
    """

    @pytest.fixture
    def metric(self) -> Metric:
        """Override: the metric."""
        raise NotImplementedError("override the fixture `metric`")

    @pytest.fixture
    def rows(self) -> Callable[[str, int, int], Rows]:
        """Override for a task that the kit does not know."""
        return _drawn

    def test_it_names_its_tasks_and_its_direction(self, metric: Metric) -> None:
        assert isinstance(metric, Metric)
        assert len(set(metric.tasks)) == len(metric.tasks)

    @pytest.mark.parametrize("count", [1, 2, 500])
    def test_it_is_a_number_or_undefined_however_few_rows_there_are(
        self, metric: Metric, rows: Callable[[str, int, int], Rows], count: int
    ) -> None:
        for task in metric.tasks:
            _computed(metric, *rows(task, count, 1))

    def test_it_is_defined_on_many_rows_of_each_task(
        self, metric: Metric, rows: Callable[[str, int, int], Rows]
    ) -> None:
        for task in metric.tasks:
            assert _computed(metric, *rows(task, 500, 2)) is not None

    def test_it_is_a_number_or_undefined_where_all_rows_are_equal(
        self, metric: Metric, rows: Callable[[str, int, int], Rows]
    ) -> None:
        for task in metric.tasks:
            labels, outputs = rows(task, 1, 3)
            _computed(
                metric, np.repeat(labels, 20), {name: np.repeat(each, 20, axis=0) for name, each in outputs.items()}
            )

    def test_the_same_rows_give_the_same_number_in_any_order(
        self, metric: Metric, rows: Callable[[str, int, int], Rows]
    ) -> None:
        for task in metric.tasks:
            labels, outputs = rows(task, 300, 4)
            order = np.random.default_rng(5).permutation(len(labels))
            first = _computed(metric, labels, outputs)
            assert _computed(metric, labels, outputs) == first
            assert _close(_computed(metric, *_at(labels, outputs, order)), first)

    def test_a_weight_counts_as_so_many_rows(self, metric: Metric, rows: Callable[[str, int, int], Rows]) -> None:
        for task in metric.tasks:
            labels, outputs = rows(task, 200, 6)
            times = np.random.default_rng(7).integers(1, 5, len(labels))
            repeated = _computed(metric, *_at(labels, outputs, np.repeat(np.arange(len(labels)), times)))
            assert _close(_computed(metric, labels, outputs, times.astype(np.float64)), repeated)
            assert _close(_computed(metric, labels, outputs, np.ones(len(labels))), _computed(metric, labels, outputs))

    def test_right_answers_are_as_good_as_any(self, metric: Metric) -> None:
        for task in set(metric.tasks) & {"binary", "multiclass", "regression"}:
            labels, outputs = _drawn(task, 300, 8)
            best, drawn = _computed(metric, labels, _perfect(task, labels, outputs)), _computed(metric, labels, outputs)
            assert best is not None
            assert drawn is not None
            assert best >= drawn if metric.higher_is_better else best <= drawn

    def test_rows_are_left_as_they_were(self, metric: Metric, rows: Callable[[str, int, int], Rows]) -> None:
        for task in metric.tasks:
            labels, outputs = rows(task, 50, 9)
            before = labels.copy(), {name: column.copy() for name, column in outputs.items()}
            metric.compute(labels, outputs, None)
            assert np.array_equal(labels, before[0])
            assert all(np.array_equal(column, before[1][name]) for name, column in outputs.items())


def _computed(metric: Metric, labels: Any, outputs: Any, weight: np.ndarray | None = None) -> float | None:
    """Compute as mlopsfw does: the arrays are read-only, and the answer is checked."""
    for array in (labels, *outputs.values()):
        array.flags.writeable = False
    try:
        return check_value(metric, metric.compute(labels, outputs, weight))
    finally:
        for array in (labels, *outputs.values()):
            array.flags.writeable = True


def _at(labels: np.ndarray, outputs: Mapping[str, np.ndarray], rows: np.ndarray) -> Rows:
    return labels[rows], {name: column[rows] for name, column in outputs.items()}


def _close(value: float | None, other: float | None) -> bool:
    return value == other if value is None or other is None else math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-9)
