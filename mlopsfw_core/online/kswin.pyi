from collections.abc import Iterable
from typing import Final, final

from ._detector import Detector

LEAST_DISTANCE: Final = 0.1

@final
class KSWIN(Detector):
    """Detect a change of distribution: the newest values against a sample of the older ones of a sliding window."""

    alpha: float
    window_size: int
    stat_size: int
    seed: int | None
    n: int
    def __init__(
        self,
        alpha: float = 0.005,
        window_size: int = 100,
        stat_size: int = 30,
        seed: int | None = None,
        window: Iterable[float] | None = None,
    ) -> None: ...
    @property
    def window(self) -> list[float]: ...
    @property
    def p_value(self) -> float: ...
