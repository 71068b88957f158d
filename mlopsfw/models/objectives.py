"""What the models of a project must reach by when: `[[objective]]`, judged by the rules of a gate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mlopsfw.kernel.base.errors import DataError, UnknownName, UsageError
from mlopsfw.kernel.roles.check import Diagnosis
from mlopsfw.models.rules import Rule, parse_rule

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import Objective
    from mlopsfw.kernel.roles.host import Clock
    from mlopsfw.models.registry.catalog import Registry
    from mlopsfw.models.registry.versions import ModelVersion


class Standing(NamedTuple):
    """How a model stands to one objective.

    Args:
        objective: The objective.
        due: Whether it must be met by now.
        met: Whether it is; None where the metrics do not say.
        words: The values that were compared, or why they were not.
    """

    objective: Objective
    due: bool
    met: bool | None
    words: str

    @property
    def holds(self) -> bool:
        """Whether a gate lets the model pass: it is met, or not due yet."""
        return bool(self.met) or not self.due

    def __str__(self) -> str:
        limit = f" by {self.objective.by}" if self.objective.by else ""
        return f"objective{limit}: {self.words}"


class Objectives:
    """The objectives of a project.

    Args:
        objectives: `[[objective]]`, in the order of the file.
        clock: Tells which are due.
    """

    def __init__(self, objectives: Sequence[Objective], clock: Clock) -> None:
        self._objectives, self._clock = objectives, clock

    def of(self, model: str) -> list[Objective]:
        """Return the objectives of a model: those that name it, and those that name none."""
        return [each for each in self._objectives if each.on in ("", model)]

    def due(self, objective: Objective) -> bool:
        """Return whether an objective must be met today, by UTC."""
        today = datetime.fromtimestamp(self._clock.now(), UTC).date()
        return not objective.by or date.fromisoformat(objective.by) <= today

    def standings(self, model: str, metrics: Mapping[str, Any]) -> Iterator[Standing]:
        """Yield how a model with these metrics stands to each of its objectives."""
        for each in self.of(model):
            try:
                verdict = rule_of(each).judge(metrics, None)
            except DataError as error:
                yield Standing(each, self.due(each), met=None, words=error.message)
            else:
                yield Standing(each, self.due(each), verdict.holds, str(verdict))

    def diagnoses(self, registry: Registry) -> Iterator[Diagnosis]:
        """Say how each champion stands to each of its objectives: what doctor shows."""
        if not self._objectives:
            return
        champions = list(_champions(registry))
        for version in champions:
            yield from self._missed(version)
        for each in self._objectives:
            if each.on and each.on not in [version.name for version in champions]:
                yield Diagnosis(
                    "warning" if self.due(each) else "ok", f"{each.metric} {each.target}: {each.on} has no champion"
                )

    def _missed(self, version: ModelVersion) -> Iterator[Diagnosis]:
        hint = f"Train a better one, or agree on another objective. `mlopsfw models card {version.name}` shows all."
        for standing in self.standings(version.name, version.metrics):
            wrong = not standing.holds
            yield Diagnosis("warning" if wrong else "ok", f"{version.ref}: {standing}", hint if wrong else "")


def rule_of(objective: Objective) -> Rule:
    """Return an objective as the rule of a gate. Raise `UsageError` if it is none, or is about the champion."""
    rule = parse_rule(f"{objective.metric} {objective.target}")
    if rule.names_champion:
        raise UsageError(f"{rule.text!r} is about the champion, and an objective is about every version alike")
    return rule


def _champions(registry: Registry) -> Iterable[ModelVersion]:
    for name in registry.names():
        try:
            yield registry.resolve(f"models:/{name}")
        except UnknownName:  # none of its versions is the champion
            continue
