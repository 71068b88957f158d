"""`Turns`: whose trial is next, where several trainers compete for one budget."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

_FAILURES = 3


class Turns:
    """Shares a budget among trainers: each begins with a trial, then the best so far gets the largest share.

    The second best gets half as much as the best, the third a third, and so on. Costs are seconds, so a fast trainer makes many trials in its
    share where a slow one makes few; or 1 for each trial. A trainer whose first three trials all fail makes no more, unless all trainers fail.

    Args:
        trainers: Their names, in the order in which they begin.
    """

    def __init__(self, trainers: Iterable[str]) -> None:
        self._costs: dict[str, list[float]] = {name: [] for name in trainers}
        self._running = dict.fromkeys(self._costs, 0)
        self._failed = dict.fromkeys(self._costs, 0)
        self._best = dict.fromkeys(self._costs, -math.inf)

    def next(self, left: float, without: Collection[str] = ()) -> str | None:
        """Return the trainer whose trial is next, none of `without`; None if a trial of none is likely to cost what is `left` at most."""
        sound = [
            name
            for name in self._costs
            if self._failed[name] < _FAILURES or self._failed[name] < len(self._costs[name])
        ]
        able = [name for name in sound or self._costs if self._typical(name) <= left and name not in without]
        ranks = {name: 1 + sum(other > self._best[name] for other in self._best.values()) for name in able}
        return min(able, key=lambda name: (self._begun(name) > 0, self._spent(name) * ranks[name]), default=None)

    def begin(self, trainer: str) -> None:
        """Count a trial that begins."""
        self._running[trainer] += 1

    def end(self, trainer: str, cost: float, value: float, *, failed: bool = False) -> None:
        """Count what a trial cost, and its value: more is better."""
        self._running[trainer] -= 1
        self._failed[trainer] += failed
        self._costs[trainer].append(cost)
        self._best[trainer] = max(self._best[trainer], value)

    def _begun(self, trainer: str) -> int:
        return self._running[trainer] + len(self._costs[trainer])

    def _typical(self, trainer: str) -> float:
        costs = self._costs[trainer]
        return sum(costs) / len(costs) if costs else 0.0

    def _spent(self, trainer: str) -> float:
        return sum(self._costs[trainer]) + self._running[trainer] * self._typical(trainer)
