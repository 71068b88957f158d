"""The study: proposes trials by Optuna. It lives in memory, and is made anew from the recorded trials."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import MissingExtra
from mlopsfw.training.search.space import label_of

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study as OptunaStudy
    from optuna.trial import Trial

    from mlopsfw.training.search.settings import Tune
    from mlopsfw.training.search.space import Space

_STARTUP = 10  # trials at random, before TPE learns from them


class Study:
    """The trials of one search, by the numbers that the search gives them.

    Args:
        space: Where to look.
        tune: By what.
        maximize: Whether more of the metric is better.
        seed: Of the sampler. Trials that run one at a time come out alike each time.

    Raises:
        MissingExtra: Optuna is not installed.
    """

    def __init__(self, space: Space, tune: Tune, *, maximize: bool, seed: int) -> None:
        if find_spec("optuna") is None:
            raise MissingExtra("a search", "tune")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._tune, self._seed = space, tune, seed
        self._study: OptunaStudy = optuna.create_study(
            direction="maximize" if maximize else "minimize", pruner=optuna.pruners.NopPruner()
        )
        self._trials: dict[int, Trial] = {}

    def propose(self, number: int) -> dict[str, Any]:
        """Return the parameters of a new trial."""
        if start := self._space.start(number):
            self._study.enqueue_trial({name: label_of(value) for name, value in start.items()})
        self._study.sampler = self._sampler(number)
        trial = self._trials[number] = self._study.ask()
        return self._space.suggest(trial)

    def repeat(self, number: int, params: Mapping[str, Any]) -> dict[str, Any]:
        """Take a trial with given parameters into the study: one of a grid, or of an earlier attempt."""
        import optuna

        self._study.sampler = optuna.samplers.RandomSampler(0)  # nothing is drawn
        self._study.enqueue_trial({name: label_of(value) for name, value in params.items()})
        trial = self._trials[number] = self._study.ask()
        return self._space.suggest(trial)

    def finish(self, number: int, value: float | None) -> None:
        """Take in what came of a trial: its value, or None if it failed."""
        import optuna

        state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
        self._study.tell(self._trials[number], value, state=state)

    def _sampler(self, number: int) -> BaseSampler:
        """Return the sampler of a trial: its draws do not depend on how often the search was started."""
        import optuna

        seed = (self._seed * 1_000_003 + number) % 2**32
        if self._tune.sampler == "random":
            return optuna.samplers.RandomSampler(seed)
        with warnings.catch_warnings():  # `group` is what lets several trainers share a study
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                n_startup_trials=_STARTUP, multivariate=True, group=True, constant_liar=True, seed=seed
            )
