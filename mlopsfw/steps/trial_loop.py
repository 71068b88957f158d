"""The loop of a search: starts trials while the budget lasts, takes what comes of them, and goes on after an interruption."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.steps.quiet import STOP
from mlopsfw.training.search.trials import OUTPUT, Trial, Values, is_pruned, mean_of

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.engine import StepResult
    from mlopsfw.pipeline.cache.key import Fingerprint
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.pipeline.run.child import Child
    from mlopsfw.pipeline.run.children import Children
    from mlopsfw.steps.trial import Work
    from mlopsfw.training.search.space import Space
    from mlopsfw.training.search.study import Study

_FAILURES = 10  # from the first trial on, after which a search gives up
_PATIENCE = 0.05  # seconds
_MARGIN = 1.25  # of the estimate for the last trainings
_GRACE = 5.0  # seconds that the winner has at least on the rows held out
_STORING = 10.0, 0.15  # seconds to explain the winner and to make its bundle, at most this share of the budget
_LATE = "the time of the search was over"


class TrialLoop:
    """Makes the trials of one search.

    Args:
        work: The rows, and the settings.
        study: Proposes.
        space: Where it looks.
        children: Make the trials.
        context: Of the step.
    """

    def __init__(self, work: Work, study: Study, space: Space, children: Children, context: StepContext) -> None:
        self._work, self._study, self._space, self._children, self._context = work, study, space, children, context
        self._began = time.monotonic()
        self._trials: dict[int, Trial] = {}
        self._lost: deque[tuple[Child, Trial]] = deque()
        self._points = self._grid() if work.tune.sampler == "grid" else None
        self._running = 0
        limits = work.tune.limits.items()  # -1 for what a trial must reach at least
        self._limits = {name: (limit, -1 if work.maximizes(name) else 1) for name, limit in limits}
        self._window = self._study.window
        self._outcomes: dict[int, Callable[[], None]] = {}
        self._settled = 0

    def run(self, began: float) -> list[Trial]:
        """Make trials until the budget is spent, since the step began on the monotonic clock. Raise `DataError` if all fail."""
        self._began = began - self._children.past.seconds
        for child in self._children.past.children:
            self._remember(child)
        slots = self._children.at_once(self._work.tune.parallel or self._window)
        while True:
            while self._running < slots and not self._is_late() and self._start():
                pass
            if not self._running:
                break
            for number, result in self._children.ended(_PATIENCE):
                self._end(number, result)
            self._prune()
            if self._is_late():
                self._stop()
        self._settle(0)
        if cached := sum(trial.status == "cached" for trial in self._trials.values()):
            self._context.log(f"{cached} trials from the cache")
        return list(self._trials.values())

    def best(self) -> Trial:
        """Return the best trial that keeps the limits; of equal ones the first. Raise `DataError` if there is none."""
        valued = [trial for trial in self._trials.values() if trial.value is not None]
        if not valued:
            why = next((trial.why for trial in self._trials.values() if trial.why), "no trial was made")
            raise DataError(f"each of {len(self._trials)} trials failed; the first: {why}")
        kept = [trial for trial in valued if trial.kept]
        if not kept:
            nearest = ", ".join(
                f"{name} {limit + sign * min(self._over(each)[name] for each in valued):.4g} (limit {limit:g})"
                for name, (limit, sign) in self._limits.items()
            )
            message = f"none of {len(valued)} trials keeps the limits; the nearest of each: {nearest}"
            raise DataError(message, hint="Loosen a limit.")
        return max(kept, key=self._rank)

    def _rank(self, trial: Trial) -> float:
        value = trial.value or 0.0
        return value if self._work.maximizes(self._work.metric) else -value

    # -- starting --------------------------------------------------------------------------------------------------------

    def _start(self) -> bool:
        """Start a trial, or take it from the cache. Return whether there was one to start."""
        if self._lost:
            child, trial = self._lost.popleft()
            self._children.start(
                child.number, child.given, self._key(trial.params), output=OUTPUT, attempt=child.attempt + 1
            )
            self._running += 1
            return True
        number = next(number for number in itertools.count() if number not in self._trials)
        params = self._next(number) if self._settle(max(0, self._window - 1)) else None
        if params is None:
            return False
        trial = self._trials[number] = Trial(number=number, params=params)
        given, key = self._context.values.store(params, "trial"), self._key(params)
        cached = self._children.cached(trial.number, given, key)
        if cached is None:
            self._children.start(trial.number, given, key, output=OUTPUT)
            self._running += 1
        else:
            trial.status, trial.seconds = "cached", cached.seconds
            self._take(trial, cached.outputs[OUTPUT])
        return True

    def _next(self, number: int) -> dict[str, Any] | None:
        limit = self._work.tune.trials
        if limit and len(self._trials) >= limit:
            return None
        if self._points is None:
            return self._study.propose(number, self._left)
        point = next(self._points, None)
        return None if point is None else self._study.repeat(number, point)

    def _grid(self) -> Iterator[dict[str, Any]]:
        for point in self._space.grid():
            if all(trial.params != point for trial in self._trials.values()):
                yield point

    def _key(self, params: Mapping[str, Any]) -> Fingerprint:
        tune = self._work.tune
        counts = {name: value for name, value in self._context.params.items() if name not in ("tune", "trainer")}
        counts |= {"trial": dict(params), "holdout": tune.holdout, "folds": msgspec.to_builtins(self._work.by)}
        counts |= {"measures": tune.measures} if tune.measures else {}
        return self._children.key(counts, (f"trainer.{params['trainer']}", "metric"))

    # -- ending ----------------------------------------------------------------------------------------------------------

    def _remember(self, child: Child) -> None:
        """Take in a trial of an earlier attempt of the step, unless something that counts has changed since: its rows, folds or code."""
        params = self._context.values.load(child.given)
        if not self._space.has(params) or child.key != self._key(params).key:
            return
        number = child.number
        trial = self._trials[number] = Trial(number=number, params=params, seconds=child.seconds)
        self._study.repeat(number, params)
        if child.status in ("done", "cached"):
            trial.status = child.status
            self._take(trial, child.outputs[OUTPUT])
        elif child.status == "failed":
            self._fail(trial, child.failure)
        elif child.status == "stopped":
            self._stopped(trial)
        else:
            self._lost.append((child, trial))

    def _end(self, number: int, result: StepResult) -> None:
        trial = self._trials[number]
        self._running -= 1
        made = self._context.values.load(result.outputs[OUTPUT]) if result.failure is None else {}
        self._children.record(number, result, keep=not is_pruned(made))
        trial.seconds = result.seconds
        if result.failure is not None:
            self._fail(trial, f"{result.failure.type}: {result.failure.message}")
        else:
            trial.status = "done"
            self._take(trial, result.outputs[OUTPUT])

    def _take(self, trial: Trial, artifact: Artifact) -> None:
        work, made = self._work, self._context.values.load(artifact)
        self._report(trial, Values(made["folds"], made["losses"]))
        if is_pruned(made):
            trial.status = "pruned"
            self._finish(trial, None, pruned=True)
            return
        names = (*work.objectives, *work.tune.limits)
        if missing := [name for name in names if mean_of(trial.folds, name) is None]:
            self._fail(trial, f"{missing[0]} is undefined on every fold")
            return
        over, reached = self._over(trial), [mean_of(trial.folds, name) or 0.0 for name in work.objectives]
        trial.value, trial.kept = reached[0], all(each <= 0 for each in over.values())
        self._finish(trial, reached, limits=over)
        self._show()

    def _over(self, trial: Trial) -> dict[str, float]:
        """Return by how much a trial misses each limit; 0 or less where it keeps it."""
        return {
            name: sign * ((mean_of(trial.folds, name) or 0.0) - limit) for name, (limit, sign) in self._limits.items()
        }

    def _prune(self) -> None:
        """Report the values of running trials so far, and stop the trials that the pruner gives up."""
        for number in self._children.running if self._work.tune.pruner != "none" else ():
            folder = self._children.folder(number)
            if self._report(self._trials[number], Values.of(folder)):
                (folder / STOP).touch()

    def _report(self, trial: Trial, values: Values) -> bool:
        """Report to the study the values that it lacks. Return whether the pruner gives the trial up."""
        trial.folds, trial.losses = values.folds, values.losses
        if self._work.tune.pruner == "none":
            return False
        metric = self._work.metric
        return self._study.report(trial.number, values.steps(metric, maximize=self._work.maximizes(metric)))

    def _fail(self, trial: Trial, why: str) -> None:
        trial.status, trial.why = "failed", why
        self._finish(trial, None)
        self._context.log(f"trial {trial.number} failed: {why}")
        trials = self._trials.values()
        if len([each for each in trials if each.status == "failed"]) >= _FAILURES and not any(
            each.value is not None for each in trials
        ):
            self.best()  # raises
        self._show()

    def _finish(
        self,
        trial: Trial,
        values: Sequence[float] | None,
        *,
        limits: Mapping[str, float] | None = None,
        pruned: bool = False,
    ) -> None:
        """Let the study take in what came of a trial, at once or in its turn."""
        self._outcomes[trial.number] = partial(
            self._study.finish, trial.number, values, limits=limits or {}, pruned=pruned, cost=self._cost(trial)
        )
        if not self._window:
            self._outcomes.pop(trial.number)()

    def _settle(self, latest: int) -> bool:
        """Let the study take in what came of all trials but the latest ones, in their order. Return whether all of these have ended.

        So a proposal depends neither on how many trials run at once, nor on the order in which they end.
        """
        for number in list(self._trials)[self._settled : max(0, len(self._trials) - latest)] if self._window else ():
            if number not in self._outcomes:
                return False
            self._outcomes.pop(number)()
            self._settled += 1
        return True

    def _show(self) -> None:
        tune, ended = self._work.tune, sum(trial.status != "running" for trial in self._trials.values())
        shares = [
            ended / tune.trials if tune.trials else 0.0,
            self._seconds / (tune.minutes * 60) if tune.minutes else 0.0,
        ]
        valued = [trial for trial in self._trials.values() if trial.value is not None]
        best = max(valued, key=self._rank) if valued else None
        says = f", best {best.params['trainer']} {self._work.metric} {best.value:.4f}" if best else ""
        self._context.progress(f"{ended} trials{says}", min(1.0, max(shares)))

    # -- time ------------------------------------------------------------------------------------------------------------

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def _left(self) -> float:
        """The seconds that are left, but for the last trainings and what they may take beyond their estimate.

        Infinite where trials are the budget, and before the first value.
        """
        minutes, valued = self._work.tune.minutes, [each for each in self._trials.values() if each.value is not None]
        if not (minutes and valued):
            return math.inf
        best = max(valued, key=self._rank)
        return self._until_stored - self._seconds - best.seconds * sum(self._work.last_shares) * _MARGIN

    @property
    def _until_stored(self) -> float:
        """The seconds of the budget without those that make the bundle."""
        seconds, share = _STORING
        return self._work.tune.minutes * 60 - min(seconds, share * self._work.tune.minutes * 60)

    def holdout_ends(self, best: Trial) -> float:
        """Return when the training that judges the winner must be over, on the monotonic clock, so that the one on all rows ends in time."""
        if not self._work.tune.minutes:
            return math.inf
        last = best.seconds * self._work.last_shares[1]
        return max(self._began + self._until_stored - last, time.monotonic() + _GRACE)

    def _is_late(self) -> bool:
        """Return whether the time is over. A search makes one trial, however long that takes."""
        return self._left <= 0

    def _cost(self, trial: Trial) -> float:
        """Return what a trial cost: seconds where they are the budget, else 1, so that an equal search makes equal trials."""
        return trial.seconds if self._work.tune.minutes else 1.0

    def _stop(self) -> None:
        """End the trials that run."""
        for number, result in self._children.stop(_LATE):
            if result is None:
                self._running -= 1
                self._stopped(self._trials[number])
            else:
                self._end(number, result)

    def _stopped(self, trial: Trial) -> None:
        trial.status, trial.why = "stopped", _LATE
        self._finish(trial, None)
