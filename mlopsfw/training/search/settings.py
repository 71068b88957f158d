"""`[steps.NAME.tune]`: what a search may spend, what it compares by, and where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.training.folds import Folds
from mlopsfw.training.search.space import FEATURES, Dimension, check_distinct, check_sets

_MANY = 5000  # rows
MEASURES = ("row_ms", "bundle_mb")
"""What is measured of a trial besides metrics and the gap of a column."""
_FOLDS = (5, 3)  # of few rows, whose trainings are short and whose values vary; of many


class Tune(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The search of a `train` step. It needs `trials`, `minutes` or the sampler `grid`.

    Args:
        trainers: Names of the trainers that compete; by default the step's own.
        trials: How many trials to make; 0 for no limit.
        minutes: How long the step may take, the last training included; 0 for no limit. A trial that runs then is stopped.
        metric: The metric of the comparison; by default AUC for binary, log loss for multiclass, RMSE for regression.
        folds: How each trial is validated, inside of the rows that the search sees; by default 5 folds of up to 5,000 rows, 3 of more.
        holdout: The share of the training rows that no trial sees, by time the latest: they tell how optimistic the search is. 0 for none.
        also: Further objectives: metrics, or what `limits` can name, of which less is better. The report has the Pareto front; the winner is
            its best by `metric`.
        limits: What a winner must keep: metrics, at least where more is better, else at most; at most `row_ms` (the median time of scoring a row, in milliseconds), `bundle_mb` (the size
            of the bundle), or `gap.COLUMN` (the largest difference of `metric` between values of a column with 30 rows or more).
        sampler: What proposes trials: `tpe` by what earlier trials gave, `cmaes` (numbers of one trainer), `random`, or `grid` for every
            point of `space`.
        pruner: Which trials are stopped early, by the mean over the folds so far, and by the validation loss within each training: `median`
            those below the median of other trials, `hyperband` those of the worse share, `none` none.
        features: Sets of columns to choose from, made by ranking the columns with the first trainer on the rows that trials see:
            `permutation` by how much worse the metric of held-out rows is where a column is shuffled, `null` by whether a model uses a
            column more than models of shuffled labels do.
        parallel: How many trials run side by side at most. With `minutes` 0 is as many as the engine has slots. With `trials` alone 0 is 4, and
            no proposal looks at the latest `parallel` - 1 trials, so that every machine makes equal trials.
        space: `TRAINER.OPTION` → the values to try, or `features` → sets of columns. What trainers suggest themselves is tried too,
            by `grid` not.
    """

    trainers: tuple[str, ...] = ()
    trials: Annotated[int, msgspec.Meta(ge=0)] = 0
    minutes: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    metric: str = ""
    folds: Folds | None = None
    holdout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    also: tuple[str, ...] = ()
    limits: dict[str, float] = {}
    sampler: Literal["tpe", "cmaes", "random", "grid"] = "tpe"
    pruner: Literal["none", "median", "hyperband"] = "none"
    features: Literal["", "permutation", "null"] = ""
    parallel: Annotated[int, msgspec.Meta(ge=0)] = 0
    space: dict[str, Dimension] = {}

    def __post_init__(self) -> None:
        self._check_names()
        self._check_sampling()
        if self.folds is not None:
            self.folds.check("tune.folds")

    def _check_names(self) -> None:
        for name, dimension in self.space.items():
            dimension.check(f"tune.space.{name}")
        if FEATURES in self.space:
            check_sets(self.space[FEATURES], f"tune.space.{FEATURES}")
        if self.features and FEATURES in self.space:
            raise ConfigError("the space has sets of features already", key="tune.features", hint="Omit one of them.")
        for name in ("trainers", "also"):
            check_distinct(getattr(self, name), f"tune.{name}")
        for name, limit in self.limits.items():
            if is_measure(name) and limit < 0:
                raise ConfigError(f"no trial has {name} of {limit:g} at most", key=f"tune.limits.{name}")

    def _check_sampling(self) -> None:
        if not (self.trials or self.minutes or self.sampler == "grid"):
            raise ConfigError("a search needs an end", key="tune.trials", hint="Write trials = 40, or minutes = 10.")
        if self.sampler == "grid" and not self.space:
            raise ConfigError(
                "a grid needs a space", key="tune.space", hint='Write space = { "NAME.OPTION" = { choices = […] } }.'
            )
        if self.pruner != "none" and self.also:
            raise ConfigError(
                "a pruner compares one objective", key="tune.pruner", hint="Leave the pruner or `also` out."
            )
        if self.sampler == "cmaes" and (len(self.trainers) > 1 or self.also or self.limits):
            hint = 'Name one trainer, or write sampler = "tpe".'
            raise ConfigError(
                "cmaes searches one trainer for one objective, without limits", key="tune.sampler", hint=hint
            )

    def folds_of(self, rows: int) -> Folds:
        """Return how trials are validated on so many rows."""
        return self.folds or Folds(folds=_FOLDS[rows > _MANY])

    @property
    def sets(self) -> tuple[Sequence[str], ...]:
        """The sets of columns that the file lets trials choose from; none where it has none."""
        return self.space[FEATURES].choices if FEATURES in self.space else ()

    @property
    def measures(self) -> tuple[str, ...]:
        """What a trial is measured by besides the metrics of its task, in order."""
        return tuple(sorted(name for name in {*self.also, *self.limits} if is_measure(name)))


def is_measure(name: str) -> bool:
    """Return whether a name is that of something measured besides metrics: less of it is better."""
    return name in MEASURES or name.startswith("gap.")
