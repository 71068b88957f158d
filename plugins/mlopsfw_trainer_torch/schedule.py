"""The length of a training and its learning rate: from the number of training rows, unless the configuration sets them.

What a network learns depends on the steps of its optimiser, not on epochs: ten epochs of 6,000 rows in batches of 1,024 are 60 steps, which
teach it nothing. docs/training.md has the rule and the measurements behind it.

"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from mlopsfw_trainer_torch import TorchConfig

BATCHES: Final = 16
"""The least number of batches per epoch of a small table."""
BATCH_SIZES: Final = (32, 1024)
"""The smallest and the largest batch."""
STEPS: Final = 1000
"""The least number of steps of the optimiser."""
EPOCHS: Final = (10, 400)
"""The fewest epochs, for any number of rows, and the most."""
PATIENCE: Final = (3, 0.25)
"""The fewest epochs without a better validation loss, and their share of all epochs."""


class Schedule(NamedTuple):
    """The length of a training.

    Args:
        epochs: Passes over the training rows, at most.
        batch_size: Rows in a step.
        patience: Epochs without a better validation loss before it stops; 0 to use all epochs.
    """

    epochs: int
    batch_size: int
    patience: int


def schedule_of(config: TorchConfig, rows: int) -> Schedule:
    """Return the configured schedule, with values for `rows` training rows in place of `auto`."""
    size = _batch_size(rows) if config.batch_size == "auto" else config.batch_size
    epochs = _epochs(rows, size) if config.epochs == "auto" else config.epochs
    patience = max(PATIENCE[0], math.ceil(PATIENCE[1] * epochs)) if config.patience == "auto" else config.patience
    return Schedule(epochs, size, patience)


def learning_rate(config: TorchConfig, step: int, steps: int) -> float:
    """Return the learning rate of one of `steps` steps: a function of the step alone, so that a checkpoint needs no scheduler's state."""
    warm = max(1, int(steps * config.warm_up))
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    share = (step - warm) / max(1, steps - warm)
    falls = {"cosine": 0.5 * (1.0 + math.cos(math.pi * share)), "linear": 1.0 - share, "constant": 1.0}
    return config.learning_rate * falls[config.scheduler]


def _batch_size(rows: int) -> int:
    """Return the largest power of two within `BATCH_SIZES` that gives an epoch `BATCHES` batches."""
    smallest, largest = BATCH_SIZES
    return min(largest, max(smallest, 1 << max(0, (rows // BATCHES).bit_length() - 1)))


def _epochs(rows: int, batch_size: int) -> int:
    fewest, most = EPOCHS
    return min(most, max(fewest, math.ceil(STEPS / math.ceil(rows / batch_size))))
