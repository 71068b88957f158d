"""What a tracking store of MLflow holds, as either form of it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
"""Names of the statuses; the files have their numbers, from 1."""
_LIMIT = 1 << 63
_YEAR_10_000 = 253_402_300_800_000


class SourceMetric(NamedTuple):
    """A number that a run logged.

    Args:
        name: Its name.
        value: The number.
        step: The step.
        time: Seconds since the epoch, UTC.
    """

    name: str
    value: float
    step: int
    time: float


class SourceRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run.

    Args:
        id: MLflow's id of it.
        name: Its name, for people.
        experiment: The name of its experiment.
        status: One of `STATUSES`.
        started: Milliseconds since the epoch, UTC.
        finished: Likewise; 0 for one that has not ended.
        params: Name → text.
        tags: Name → text.
        artifact_uri: Where its artifacts are, as the store says.
    """

    id: str
    name: str
    experiment: str
    status: str
    started: int
    finished: int
    params: dict[str, str]
    tags: dict[str, str]
    artifact_uri: str


class SourceVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a registered model.

    Args:
        model: The model's name.
        version: Its number.
        source: Where its files are, as the store says.
        run: The run that made it; empty for none.
        aliases: The aliases that point at it.
    """

    model: str
    version: int
    source: str
    run: str
    aliases: tuple[str, ...]


class TrackingStore(Protocol):
    """A tracking store, read one record at a time."""

    @property
    def folder(self) -> Path:
        """Where artifacts lie, if nobody says otherwise."""
        ...

    def runs(self) -> Iterator[SourceRun]:
        """Yield the runs that were not deleted, the oldest first."""
        ...

    def metrics(self, run: SourceRun) -> Iterator[SourceMetric]:
        """Yield the numbers that a run logged."""
        ...

    def versions(self) -> Iterator[SourceVersion]:
        """Yield the versions of models, by name and number."""
        ...


def integer(value: object) -> int:
    """Return an integer of 64 bits; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and -_LIMIT <= value < _LIMIT else 0


def milliseconds(value: object) -> int:
    """Return a time since the epoch that a calendar has; 0 for anything else."""
    return number if 0 <= (number := integer(value)) < _YEAR_10_000 else 0


def aliases_of(named: list[str], stage: str) -> tuple[str, ...]:
    """Return the aliases of a version; the stages of MLflow 2, `Staging` and `Production`, count as aliases."""
    staged = [stage.lower()] if stage in ("Staging", "Production") else []
    return tuple(dict.fromkeys([*named, *staged]))
