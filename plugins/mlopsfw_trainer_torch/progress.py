"""How far a training is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """The progress of a training, in plain values; a checkpoint stores it as JSON.

    Args:
        epoch: The current epoch, from 0.
        batch: Finished batches of this epoch.
        step: Steps of the optimiser so far.
        parts: Parts in which a batch is computed; twice as many once the memory did not suffice (`halved`).
        best: The lowest validation loss, and its epoch.
        history: For each finished epoch its training and validation loss (NaN is written as None).
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    parts: int = 1
    halved: bool = False
    best: float = math.inf
    best_epoch: int = -1
    history: list[tuple[float, float | None]] = field(default_factory=list)
