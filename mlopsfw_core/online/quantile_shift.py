"""A two-sample detector of shifted quantiles, with a stated rate of false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from mlopsfw_core._buffers import numeric_values

from ._betting import Bettor
from ._intervals import share_interval


class QuantileShiftDetector(Bettor):
    """Detect that a quantity falls below some threshold more or less often than it did.

    At each threshold the share of values at or below it is bet on as in `ProportionDetector`; the mean of e-detectors is an
    e-detector (Shin, Ramdas and Rinaldo, arXiv 2309.09111). No bounds, moments or continuity are supposed.

    Guarantee: while P(x_t <= threshold | past) stays in its interval at every threshold, however often anyone looks, the mean
    run to a false alarm is at least `arl` rows, and n rows hold n / arl false alarms in expectation at the most.

    Args:
        thresholds: ascending.
        shares: for each threshold, the lowest and highest share of values at or below it that is no change.
        arl: rows between false alarms: the budget.

    Infinities are values; NaN and null are passed over.
    """

    def __init__(
        self, thresholds: Sequence[float], shares: Sequence[tuple[float, float]], arl: float = 10_000.0
    ) -> None:
        if not thresholds or len(thresholds) != len(shares) or any(np.diff(thresholds) <= 0):
            raise ValueError("thresholds ascend, at least one, with a pair of shares each")
        self.thresholds = tuple(float(threshold) for threshold in thresholds)
        self.shares = tuple((float(lowest), float(highest)) for lowest, highest in shares)
        self._open(arl, self.shares, thresholds=self.thresholds)

    @classmethod
    def against(
        cls,
        reference: Any,
        arl: float = 10_000.0,
        quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
        tolerance: float = 0.0,
        reference_error: float = 0.001,
    ) -> Self:
        """Compare with a reference sample, whose even rows choose the thresholds and whose odd rows the shares.

        Apart, so that a threshold does not depend on the rows that are counted against it, and ties and atoms do no harm.

        Args:
            reference: any column of numbers; its rows independent of each other and of the stream. Four or more.
            arl: rows between false alarms.
            quantiles: of the reference, at which to put thresholds; equal ones fall together.
            tolerance: widens each interval by this much on each side.
            reference_error: the probability that the reference misleads; with one minus it the guarantee holds.
        """
        values, _ = numeric_values(reference)
        values = values[~np.isnan(values)]
        if values.size < 4:  # noqa: PLR2004 - two rows for each purpose
            raise ValueError(f"a reference has four rows or more that hold a number, not {values.size}")
        thresholds = np.unique(np.quantile(values[::2], quantiles, method="inverted_cdf"))
        counted = values[1::2]
        shares = [
            share_interval(int((counted <= threshold).sum()), counted.size, reference_error / thresholds.size)
            for threshold in thresholds
        ]
        widened = [(max(0.0, lowest - tolerance), min(1.0, highest + tolerance)) for lowest, highest in shares]
        return cls(thresholds.tolist(), widened, arl)

    def _arguments(self) -> dict[str, Any]:
        shares = [list(share) for share in self.shares]
        return {"thresholds": list(self.thresholds), "shares": shares, "arl": self.arl}
