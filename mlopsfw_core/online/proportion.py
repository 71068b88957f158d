"""A detector of a changed proportion, with a stated rate of false alarms."""

from __future__ import annotations

from typing import Any, Self

from ._betting import Bettor
from ._intervals import share_interval


class ProportionDetector(Bettor):
    """Detect that the share of ones left where it was.

    Bets (p1/p)^x ((1-p1)/(1-p))^(1-x), the likelihood ratios of ones as often as p1 against p, p1 from far to near on both
    sides, run as an e-SR detector (Shin, Ramdas and Rinaldo, arXiv 2309.09111; the mixture after Howard et al., Annals of
    Statistics 49, 2021). They are 1 + s (x - p) with s = (p1 - p) / (p (1 - p)).

    Guarantee: while P(x_t = 1 | past) stays in `proportion`, however often anyone looks, the mean run to a false alarm is at
    least `arl` rows, and n rows hold n / arl false alarms in expectation at the most.

    Args:
        proportion: the share of ones that is no change, or the lowest and highest such share.
        arl: rows between false alarms: the budget.

    Values are 0 and 1 (in between they are bets on a mean, and hold as well); beyond, the nearer of the two. NaN and null
    are passed over.
    """

    def __init__(self, proportion: float | tuple[float, float], arl: float = 10_000.0) -> None:
        lowest, highest = (proportion, proportion) if isinstance(proportion, (int, float)) else proportion
        self.proportion = (float(lowest), float(highest))
        self._open(arl, [self.proportion])

    @classmethod
    def against(
        cls, ones: int, rows: int, arl: float = 10_000.0, tolerance: float = 0.0, reference_error: float = 0.001
    ) -> Self:
        """Compare with a reference: no change is a share within its Chernoff interval.

        Args:
            ones: of the reference.
            rows: of the reference; independent of each other and of the stream.
            arl: rows between false alarms.
            tolerance: widens the interval by this much on each side.
            reference_error: the probability that the reference misleads; with one minus it the guarantee holds.
        """
        if not 0 <= ones <= rows:
            raise ValueError(f"ones ({ones}) are between 0 and rows ({rows})")
        lowest, highest = share_interval(ones, rows, reference_error)
        return cls((max(0.0, lowest - tolerance), min(1.0, highest + tolerance)), arl)

    def _arguments(self) -> dict[str, Any]:
        return {"proportion": list(self.proportion), "arl": self.arl}
