"""`[steps.NAME.tune]`: what a search may spend, what it compares by, and where it looks."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.training.folds import Folds
from mlopsfw.training.search.space import Dimension


class Tune(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The search of a `train` step. It needs `trials`, `minutes` or the sampler `grid`.

    Args:
        trainers: Names of the trainers that compete; by default the step's own.
        trials: How many trials to make; 0 for no limit.
        minutes: How long the step may take, the last training included; 0 for no limit. A trial that runs then is stopped.
        metric: The metric of the comparison; by default AUC for binary, log loss for multiclass, RMSE for regression.
        folds: How each trial is validated, inside of the rows that the search sees.
        holdout: The share of the training rows that no trial sees, by time the latest: they tell how optimistic the search is. 0 for none.
        sampler: What proposes trials: `tpe` by what earlier trials gave, `random`, or `grid` for every point of `space`.
        parallel: How many trials run side by side; 0 for as many as the engine has slots.
        space: `TRAINER.OPTION` → the values to try, or `features` → sets of columns. What trainers suggest themselves is tried too,
            by `grid` not.
    """

    trainers: tuple[str, ...] = ()
    trials: Annotated[int, msgspec.Meta(ge=0)] = 0
    minutes: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    metric: str = ""
    folds: Folds = Folds()
    holdout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    parallel: Annotated[int, msgspec.Meta(ge=0)] = 0
    space: dict[str, Dimension] = {}

    def __post_init__(self) -> None:
        if not (self.trials or self.minutes or self.sampler == "grid"):
            raise ConfigError("a search needs an end", key="trials", hint="Write trials = 40, or minutes = 10.")
        if self.sampler == "grid" and not self.space:
            raise ConfigError(
                "a grid needs a space", key="space", hint='Write space = { "NAME.OPTION" = { choices = […] } }.'
            )
