from collections.abc import Iterable, Sequence

from ._detector import Detector

def bets_above(limit: float, smallest: float = 0.03, boldness: float = 0.9) -> list[float]: ...

class Bettor(Detector):
    """The base of the detectors with a stated rate."""

    arl: float
    def _open(
        self,
        arl: float,
        intervals: Iterable[tuple[float, float]],
        bounds: tuple[float, float] = (0.0, 1.0),
        thresholds: Sequence[float] = (),
    ) -> None: ...
    @property
    def evidence(self) -> float: ...
    @property
    def e_value(self) -> float: ...
