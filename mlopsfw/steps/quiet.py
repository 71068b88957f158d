"""The context of the trainings of a search: it records little, keeps intermediate losses, and stops a trial that is given up."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.training.search.trials import Values

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.engine import Launcher
    from mlopsfw.pipeline.graph.step import StepContext

STOP = "stop"
"""The file among the checkpoints of a trial by which the search stops it."""
_LOOK = 0.2  # seconds


class Pruned(Exception):
    """The search has stopped this trial."""


@dataclass
class QuietContext:
    """The context of the fits of a trial. Their own metrics are not recorded: of hundreds of trials nobody reads them.

    Args:
        context: Of the trial.
        ends: When it must be over, on the monotonic clock.
    """

    context: StepContext
    ends: float = math.inf
    _looked: float = 0.0
    _fold: int = 0
    _loss: float | None = None
    _values: Values | None = None

    @property
    def scratch(self) -> Path:
        """A folder of this attempt."""
        return self.context.scratch

    @property
    def checkpoints(self) -> Path:
        """A folder that is kept between attempts."""
        return self.context.checkpoints

    @property
    def launcher(self) -> Launcher | None:
        """The launcher of the trial."""
        return self.context.launcher

    def begin(self, fold: int, values: Values) -> None:
        """Begin the training of a fold, whose validation losses become values of the trial."""
        self.check(every=0)
        self._fold, self._values, self._loss = fold, values, None

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:  # noqa: ARG002 - left out
        """Leave it out, but for a validation loss."""
        self.check()
        if name.endswith(".valid_loss"):
            self._loss = float(value)

    def progress(self, phase: str, share: float) -> None:
        """Tell how far it is, and keep the loss at each quarter."""
        loss, self._loss = self._loss, None
        if self._values is not None and loss is not None and self._values.passed(self._fold, share, loss):
            self._values.keep(self.checkpoints)
        self.check()
        self.context.progress(phase, share)

    def check(self, every: float = _LOOK) -> None:
        """Raise `Pruned` if the search has stopped this trial, or its time is over. Looks once in `every` seconds."""
        now = time.monotonic()
        if now - self._looked >= every:
            self._looked = now
            if now > self.ends or (self.checkpoints / STOP).exists():
                raise Pruned
