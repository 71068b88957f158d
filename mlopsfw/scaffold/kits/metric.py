"""The metric keeps the promises of its role."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mlopsfw.roles import Metric
from mlopsfw.scaffold.metric import SampleConfig, build_sample
from mlopsfw.testing.metric import MetricConformance


class TestSampleMetric(MetricConformance):
    """With prices of its own."""

    @pytest.fixture
    def metric(self) -> Metric:
        """Return the metric."""
        return build_sample(SampleConfig(false_alarm=1.0, miss=3.0), SimpleNamespace())

    def test_it_is_the_mean_price_of_a_row(self, metric: Metric) -> None:
        """One false alarm and one miss among four rows."""
        labels, probability = np.array([0, 0, 1, 1]), np.array([0.1, 0.9, 0.2, 0.8])
        assert metric.compute(labels, {"p": probability}, None) == (1.0 + 3.0) / 4
