"""A detector of a changed mean of a bounded quantity, with a stated rate of false alarms."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from mlopsfw_core._buffers import numeric_values

from ._betting import Bettor
from ._intervals import mean_interval


class BettingMeanDetector(Bettor):
    """Detect that the mean of a bounded quantity left where it was.

    Bets 1 + s (x - m), x scaled to [0, 1] (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
    JRSS B 2024, eq. 24), on the mean above the highest and below the lowest that is no change, run as an e-SR detector
    (Shin, Ramdas and Rinaldo, arXiv 2309.09111).

    Guarantee: while E[x_t | past] stays in `mean`, whatever the distribution and however often anyone looks, the mean run to a
    false alarm is at least `arl` rows, and n rows hold n / arl false alarms in expectation at the most.

    Args:
        mean: the mean that is no change, or the lowest and highest such mean; in x's units. A mean *estimated* from data is
            wrong by its error, which enough rows reveal: use `against`.
        arl: rows between false alarms: the budget.
        bounds: lowest and highest x; values beyond are taken as the nearer bound (infinities too), and `mean` is of those.

    NaN and null are passed over.
    """

    def __init__(
        self, mean: float | tuple[float, float], arl: float = 10_000.0, bounds: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        low, high = bounds
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"bounds are two finite numbers, the lower one first, not {bounds}")
        lowest, highest = (mean, mean) if isinstance(mean, (int, float)) else mean
        self.mean, self.bounds = (float(lowest), float(highest)), (float(low), float(high))
        scale = 1.0 / (high - low)  # as values are scaled, so that one that equals the mean moves no bet
        self._open(arl, [((lowest - low) * scale, (highest - low) * scale)], self.bounds)

    @classmethod
    def against(
        cls,
        reference: Any,
        arl: float = 10_000.0,
        bounds: tuple[float, float] = (0.0, 1.0),
        tolerance: float = 0.0,
        reference_error: float = 0.001,
    ) -> Self:
        """Compare with a reference sample: no change is a mean within its empirical Bernstein interval.

        Args:
            reference: any column of numbers; its rows independent of each other and of the stream.
            arl: rows between false alarms.
            bounds: lowest and highest x.
            tolerance: widens the interval by this much on each side, in x's units: a shift too small to matter.
            reference_error: the probability that the reference misleads; with one minus it the guarantee holds.
        """
        low, high = bounds
        values, _ = numeric_values(reference)
        scaled = (np.clip(values[~np.isnan(values)], low, high) - low) / (high - low)
        lowest, highest = mean_interval(scaled, reference_error)
        return cls(
            (max(low, low + lowest * (high - low) - tolerance), min(high, low + highest * (high - low) + tolerance)),
            arl,
            bounds,
        )

    def _arguments(self) -> dict[str, Any]:
        return {"mean": list(self.mean), "arl": self.arl, "bounds": list(self.bounds)}
