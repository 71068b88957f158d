"""The study: proposes trials by Optuna. It lives in memory, and is made anew from the recorded trials."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import MissingExtra
from mlopsfw.training.search.space import label_of

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
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
        maximize: Of each objective, whether more is better.
        seed: Of the sampler. Trials that run one at a time come out alike each time.

    Raises:
        MissingExtra: Optuna is not installed.
    """

    def __init__(self, space: Space, tune: Tune, *, maximize: Sequence[bool], seed: int) -> None:
        if find_spec("optuna") is None or (tune.sampler == "cmaes" and find_spec("cmaes") is None):
            raise MissingExtra("a search", "tune")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._tune, self._seed = space, tune, seed
        self._study: OptunaStudy = optuna.create_study(
            directions=["maximize" if each else "minimize" for each in maximize], pruner=_pruner(tune)
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

    def finish(self, number: int, values: Sequence[float] | None, *, limits: Mapping[str, float], pruned: bool) -> None:
        """Take in what came of a trial.

        Args:
            number: Its number.
            values: Of each objective; None if it failed or was pruned.
            limits: By how much it is above each limit.
            pruned: Whether it was stopped early.
        """
        from optuna.trial import TrialState

        trial = self._trials[number]
        for name, over in limits.items():
            trial.set_constraint(name, over)
        state = TrialState.PRUNED if pruned else TrialState.FAIL if values is None else TrialState.COMPLETE
        self._study.tell(trial, values, state=state)

    def report(self, number: int, fold: int, value: float) -> bool:
        """Take in the value of a trial after some folds. Return whether it is to be stopped."""
        trial = self._trials[number]
        trial.report(value, fold)
        return trial.should_prune()

    def front(self) -> list[int]:
        """Return the trials that no other beats in every objective and that keep the limits, by number."""
        best = {each.number for each in self._study.best_trials}
        return [number for number, trial in self._trials.items() if trial.number in best]

    def importances(self) -> dict[str, dict[str, float]]:
        """Return how much each option counts for the first objective, by trainer: shares by PED-ANOVA.

        Watanabe et al., 2023, arXiv 2304.10255. A trainer with fewer than 10 values is left out.
        """
        import optuna

        complete = [each for each in self._study.trials if each.state.name == "COMPLETE"]
        shares = {}
        for trainer, options in self._space.trainers.items():
            names = [f"{trainer}.{name}" for name in options]
            own = [each for each in complete if names and set(names) <= set(each.params)]
            if len(own) < _STARTUP or len({each.values[0] for each in own}) == 1:
                continue
            part = optuna.create_study(direction=self._study.directions[0])
            for each in own:
                kept = {name: each.distributions[name] for name in names}
                params = {name: each.params[name] for name in names}
                part.add_trial(optuna.trial.create_trial(params=params, distributions=kept, value=each.values[0]))
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            shares[trainer] = optuna.importance.get_param_importances(part, evaluator=evaluator)
        return shares

    def _sampler(self, number: int) -> BaseSampler:
        """Return the sampler of a trial: its draws do not depend on how often the search was started."""
        import optuna

        seed = (self._seed * 1_000_003 + number) % 2**32
        if self._tune.sampler == "random":
            return optuna.samplers.RandomSampler(seed)
        if self._tune.sampler == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed)
        with warnings.catch_warnings():  # `group` is what lets several trainers share a study
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                n_startup_trials=_STARTUP, multivariate=True, group=True, constant_liar=True, seed=seed
            )


def _pruner(tune: Tune) -> BasePruner:
    import optuna

    if tune.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=_STARTUP // 2)
    if tune.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=tune.folds.folds, reduction_factor=2)
    return optuna.pruners.NopPruner()
