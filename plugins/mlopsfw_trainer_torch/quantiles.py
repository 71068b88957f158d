"""Quantiles of a regression's target: a network of their own beside that of the value, which is the same as without them.

Both read the same features. One network for both would have to serve two losses, and its value would depend on the levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlopsfw.roles import Launcher, TrainingContext
    from mlopsfw_trainer_torch.problem import Problem

_NAME = "quantiles"


def of_quantiles(problem: Problem, levels: Sequence[float]) -> Problem:
    """Return the problem of answering quantiles of the same rows' target."""
    return problem._replace(target=replace(problem.target, quantiles=tuple(levels)))


@dataclass(frozen=True, slots=True)
class QuantileContext:
    """The context of the training of quantiles: folders of its own, and its name before metrics and phases.

    Args:
        whole: The context of the step.
    """

    whole: TrainingContext

    @property
    def scratch(self) -> Path:
        """A folder of this training."""
        return _under(self.whole.scratch)

    @property
    def checkpoints(self) -> Path:
        """A folder that is kept between attempts."""
        return _under(self.whole.checkpoints)

    @property
    def launcher(self) -> Launcher | None:
        """The launcher of the step."""
        return self.whole.launcher

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:
        """Record a metric."""
        self.whole.log_metric(f"{_NAME}_{name}", value, step)

    def progress(self, phase: str, share: float) -> None:
        """Tell how far it is."""
        self.whole.progress(f"{_NAME}: {phase}", share)


def _under(folder: Path) -> Path:
    own = folder / _NAME
    own.mkdir(parents=True, exist_ok=True)
    return own
