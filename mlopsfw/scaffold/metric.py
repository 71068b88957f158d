"""The metric `sample`: what the wrong answers of a binary model cost on average, where a false alarm and a miss have prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Host, Metric

if TYPE_CHECKING:
    import numpy as np


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[metric.sample]`.

    Args:
        false_alarm: The price of a row that is answered with the second class and is of the first.
        miss: The price of a row that is answered with the first class and is of the second.
    """

    false_alarm: float = 1.0
    miss: float = 5.0


def sample_cost(
    config: SampleConfig, labels: np.ndarray, outputs: Mapping[str, np.ndarray], weight: np.ndarray | None
) -> float:
    """Return the mean price of a row. `labels` are 0 and 1, and the main output is the probability of 1."""
    import numpy as np

    answered = next(iter(outputs.values())) >= 0.5  # noqa: PLR2004 - the likelier class
    prices = np.where(labels == 1, config.miss, config.false_alarm) * (answered != (labels == 1))
    return float(np.average(prices, weights=weight))


def build_sample(config: SampleConfig, _host: Host) -> Metric:
    """Return the metric with these prices."""
    return Metric(
        compute=lambda labels, outputs, weight: sample_cost(config, labels, outputs, weight),
        higher_is_better=False,
        tasks=("binary",),
    )


@hookimpl
def mlopsfw_metrics() -> Iterable[Provider[Metric]]:
    """Offer the metric."""
    yield Provider("sample", SampleConfig, build_sample, "What wrong answers cost")
