"""The study: proposes trials by Optuna, those of each trainer by their own. It lives in memory, and is made anew from the recorded trials."""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from statistics import median
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import MissingExtra
from mlopsfw.training.search.space import label_of
from mlopsfw.training.search.trials import QUARTERS
from mlopsfw.training.search.turns import Turns

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study as OptunaStudy
    from optuna.trial import Trial

    from mlopsfw.training.search.settings import Tune
    from mlopsfw.training.search.space import Space

_STARTUP = 5  # trials of a trainer at random, before TPE learns from them, and before a pruner compares
_REPEATS = 10  # proposals in a row that were tried before, after which a trainer makes no more
_WINDOW = 4  # trials at once, unless the file says how many
_FEWEST = 10  # trials, for the importances of options


def check_installed(tune: Tune) -> None:
    """Raise `MissingExtra` where what proposes trials is not installed."""
    if find_spec("optuna") is None or (tune.sampler == "cmaes" and find_spec("cmaes") is None):
        raise MissingExtra("a search", "tune")


class Study:
    """The trials of one search, by the numbers that the search gives them.

    Args:
        space: Where to look.
        tune: By what.
        maximize: Of each objective, whether more is better.
        seed: Of the sampler.
        folds: How many trainings a trial has.

    Raises:
        MissingExtra: Optuna is not installed.
    """

    def __init__(self, space: Space, tune: Tune, *, maximize: Sequence[bool], seed: int, folds: int = 1) -> None:
        check_installed(tune)
        import optuna
        from optuna.study import StudyDirection

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._tune, self._seed, self._maximize = space, tune, seed, maximize
        self._kept: dict[int, list[float]] = {}  # values of trials that keep the limits: more is better
        directions = [StudyDirection.MAXIMIZE if each else StudyDirection.MINIMIZE for each in maximize]
        self._studies: dict[str, OptunaStudy] = {
            name: optuna.create_study(study_name=name, directions=directions, pruner=_pruner(tune, folds))
            for name in space.trainers
        }
        self._turns = Turns(space.trainers)
        self._trials: dict[int, tuple[str, Trial]] = {}
        self._steps: dict[int, dict[int, float]] = {}
        self._tried: dict[str, set[str]] = {name: set() for name in space.trainers}
        self._repeats: Counter[str] = Counter()

    @property
    def window(self) -> int:
        """How many trials run at once at most, and the latest of which no proposal looks at, so that equal searches make equal trials.

        0 where the machine's time counts, or where no result counts for a proposal.
        """
        blind = self._tune.sampler == "grid" or (self._tune.sampler == "random" and len(self._studies) == 1)
        return 0 if self._tune.minutes or blind else self._tune.parallel or _WINDOW

    def propose(self, number: int, left: float = math.inf) -> dict[str, Any] | None:
        """Return the parameters of a new trial; None if no trainer makes one in the cost that is left, or has anything new to try."""
        trainer = self._turns.next(left, self.exhausted)
        if trainer is None:
            return None
        study = self._studies[trainer]
        count = sum(name == trainer for name, _ in self._trials.values())
        if not count and (start := self._space.start(trainer)):
            study.enqueue_trial({name: label_of(value) for name, value in start.items()})
        study.sampler = self._sampler(count)
        return self._ask(number, trainer)

    def repeat(self, number: int, params: Mapping[str, Any]) -> dict[str, Any]:
        """Take a trial with given parameters into the study: one of a grid, or of an earlier attempt."""
        import optuna

        study = self._studies[params["trainer"]]
        study.sampler = optuna.samplers.RandomSampler(0)  # nothing is drawn
        study.enqueue_trial({name: label_of(value) for name, value in params.items() if name != "trainer"})
        return self._ask(number, params["trainer"])

    def _ask(self, number: int, trainer: str) -> dict[str, Any]:
        trial = self._studies[trainer].ask()
        self._trials[number] = trainer, trial
        self._turns.begin(trainer)
        params = self._space.suggest(trial, trainer)
        point, tried = json.dumps(params), self._tried[trainer]
        self._repeats[trainer] = self._repeats[trainer] + 1 if point in tried else 0
        tried.add(point)
        return params

    @property
    def exhausted(self) -> list[str]:
        """The trainers that have nothing new to try: each point was tried, or the latest ten that were proposed."""
        return [
            name
            for name, tried in self._tried.items()
            if len(tried) >= self._space.size(name) or self._repeats[name] >= _REPEATS
        ]

    def finish(
        self, number: int, values: Sequence[float] | None, *, limits: Mapping[str, float], pruned: bool, cost: float = 1
    ) -> None:
        """Take in what came of a trial.

        Args:
            number: Its number.
            values: Of each objective; None if it failed or was pruned.
            limits: By how much it is above each limit.
            pruned: Whether it was stopped early.
            cost: What it cost, in the unit of what `propose` has left.
        """
        from optuna.trial import TrialState

        trainer, trial = self._trials[number]
        kept = values is not None and all(over <= 0 for over in limits.values())
        if values is not None and kept:
            self._kept[number] = [each if more else -each for each, more in zip(values, self._maximize, strict=True)]
        failed = values is None and not pruned
        self._turns.end(trainer, cost, self._kept[number][0] if kept else -math.inf, failed=failed)
        for name, over in limits.items():
            trial.set_constraint(name, over)
        state = TrialState.PRUNED if pruned else TrialState.FAIL if values is None else TrialState.COMPLETE
        self._studies[trainer].tell(trial, values, state=state)

    def report(self, number: int, values: Mapping[int, float]) -> bool:
        """Report the values of a trial so far, by step. Return whether it should be stopped.

        Values within a training are losses, which only trials of one trainer share; those after a fold are compared with all.
        """
        _, trial = self._trials[number]
        reported = self._steps.setdefault(number, {})
        stop = False
        for step, value in values.items():
            if step not in reported:
                reported[step] = value
                trial.report(value, step)
                stop = stop or (self._is_low(number, step) if self._tune.pruner == "median" else trial.should_prune())
        return stop

    def _is_low(self, number: int, step: int) -> bool:
        """Return whether a trial is worse at a step than the median of at least five others that it can be compared with."""
        trainer, _ = self._trials[number]
        among = [
            other
            for other in self._steps
            if other != number and (step % QUARTERS == 0 or self._trials[other][0] == trainer)
        ]
        others = [self._steps[other][step] for other in among if step in self._steps[other]]
        if len(others) < _STARTUP:
            return False
        own, middle = self._steps[number][step], median(others)
        return own < middle if self._maximize[0] else own > middle

    def front(self) -> list[int]:
        """Return the trials that no other beats in every objective and that keep the limits, by number."""
        kept = sorted(self._kept.items())
        return [number for number, own in kept if not any(_beats(other, own) for _, other in kept)]

    def importances(self) -> dict[str, dict[str, float]]:
        """Return how much each option counts for the first objective, by trainer: shares by PED-ANOVA.

        Watanabe et al., 2023, arXiv 2304.10255. A trainer with fewer than 10 values is left out.
        """
        import optuna

        shares = {}
        for trainer, options in self._space.trainers.items():
            names = [f"{trainer}.{name}" for name in options]
            own = [each for each in self._studies[trainer].trials if each.state.name == "COMPLETE"]
            if not names or len(own) < _FEWEST or len({each.values[0] for each in own}) == 1:
                continue
            part = optuna.create_study(direction=self._studies[trainer].directions[0])
            for each in own:
                kept = {name: each.distributions[name] for name in names}
                params = {name: each.params[name] for name in names}
                part.add_trial(optuna.trial.create_trial(params=params, distributions=kept, value=each.values[0]))
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            shares[trainer] = optuna.importance.get_param_importances(part, evaluator=evaluator)
        return shares

    def _sampler(self, number: int) -> BaseSampler:
        """Return the sampler of a trainer's trial: its draws depend neither on other trainers nor on how often the search was started."""
        import optuna

        seed = (self._seed * 1_000_003 + number) % 2**32
        if self._tune.sampler == "random":
            return optuna.samplers.RandomSampler(seed)
        if self._tune.sampler == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                n_startup_trials=_STARTUP, multivariate=True, constant_liar=True, seed=seed
            )


def _beats(other: list[float], own: list[float]) -> bool:
    return other != own and all(theirs >= mine for theirs, mine in zip(other, own, strict=True))


def _pruner(tune: Tune, folds: int) -> BasePruner:
    import optuna

    if tune.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=QUARTERS * folds, reduction_factor=2)
    return optuna.pruners.NopPruner()
