"""What an earlier run recorded, for a run that makes its results anew, and how the new results compare with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import MlopsfwError, UsageError
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.event import Event
from mlopsfw.pipeline.graph.partnames import is_part
from mlopsfw.pipeline.run.events import RunReproduced
from mlopsfw.pipeline.run.runs import differences
from mlopsfw.pipeline.run.step_events import StepCached, StepStarted
from mlopsfw.pipeline.run.why import changes

if TYPE_CHECKING:
    from mlopsfw.pipeline.graph.model import Graph, Node
    from mlopsfw.pipeline.run.record import RunView, StepView
    from mlopsfw.pipeline.run.runner import Coordinator
    from mlopsfw.pipeline.run.runs import Runs
    from mlopsfw.pipeline.values.likeness import Likeness

PARTED = ("parted", "failed", "not run")
"""Verdicts on a step whose results could not be made again."""
_SAME = "its code, parameters, inputs and packages are the same: it depends on something else, such as an unset seed"


class StepVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a step's new results compare with the recorded ones.

    Args:
        step: The step.
        verdict: `equal`, `within` the tolerance, `parted`, `failed`, `not run`; `taken` for data that was taken as recorded,
            `skipped` for a step that acts outside of the cache, such as a deployment.
        why: What differs, and from what it may come.
        metrics: Metric → (value then, value now) where they differ.
    """

    step: str
    verdict: str
    why: tuple[str, ...] = ()
    metrics: dict[str, tuple[Any, Any]] = {}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a run recorded.

    Args:
        view: The run.
        taken: Step → parameter → the value that it took.
    """

    view: RunView
    taken: Mapping[str, Mapping[str, Artifact]]

    @classmethod
    def of(cls, view: RunView, events: Iterable[Event]) -> Origin:
        """Return what `view`, a run of a pipeline with these events, recorded. Raise `UsageError` if nothing can be reproduced."""
        if view.facts.kind == "script":
            hint = "Run the script again, and compare: mlopsfw runs diff A B."
            raise UsageError(f"run {view.id} was logged by a script, of which mlopsfw kept no steps", hint=hint)
        if view.status == "running":
            raise UsageError(f"run {view.id} is still going on", hint="Wait for its end.")
        records = {record.type: record for record in (StepStarted, StepCached)}
        began = [records[event.type].of(event) for event in events if event.type in records]
        origin = cls(view=view, taken={each.step: each.inputs for each in began})
        if not origin.finished:
            raise UsageError(f"no step of run {view.id} finished", hint="To continue it: mlopsfw resume")
        return origin

    @property
    def finished(self) -> tuple[str, ...]:
        """The steps with results."""
        return tuple(name for name, step in self.view.steps.items() if step.outputs and not is_part(name))

    def step(self, name: str) -> StepView:
        """Return what became of a step."""
        return self.view.steps[name]

    def kept(self, graph: Graph) -> dict[str, str]:
        """Return the steps that do not run again → `taken` for those that made dataset versions, else `skipped`."""
        return {
            name: "taken" if self._makes_data(name) else "skipped"
            for name, node in graph.nodes.items()
            if self._makes_data(name) or (node.plugin is not None and not node.plugin.cacheable)
        }

    def _makes_data(self, name: str) -> bool:
        inputs = {artifact.ref for artifact in self.taken.get(name, {}).values()}
        outputs = self.step(name).outputs.values()
        return any(artifact.kind == "dataset" and artifact.ref not in inputs for artifact in outputs)

    def used(self, graph: Graph) -> Iterator[tuple[str, Artifact]]:
        """Yield the step and the value for everything that was taken by reference, or is taken as recorded."""
        kept = self.kept(graph)
        for name, node in graph.nodes.items():
            if kept.get(name) == "taken":
                yield from ((name, artifact) for artifact in self.step(name).outputs.values())
            if name not in kept:
                yield from (
                    (name, self.taken[name][each]) for each, source in node.inputs.items() if isinstance(source, str)
                )


class Judge:
    """Compares the results of a run with those of the origin.

    Args:
        origin: What was recorded.
        runs: Has the runs that made results which the origin took from the cache.
        likeness: Compares values.
    """

    def __init__(self, origin: Origin, runs: Runs, likeness: Likeness) -> None:
        self._origin, self._runs, self._likeness = origin, runs, likeness
        self.verdicts: tuple[StepVerdict, ...] = ()

    def compare(self, coordinator: Coordinator, kept: Mapping[str, str]) -> None:
        """Compare every step of a run that has ended, and record the verdicts.

        Args:
            coordinator: Carried the run out.
            kept: The steps that it did not run → their verdict.
        """
        now = self._runs.get(coordinator.journal.run)
        self.verdicts = tuple(
            StepVerdict(step=name, verdict=kept[name]) if name in kept else self._verdict(coordinator, node, now)
            for name, node in coordinator.graph.nodes.items()
        )
        verdicts = {each.step: each.verdict for each in self.verdicts}
        origin, tolerance = self._origin.view.id, self._likeness.tolerance
        coordinator.journal.append(RunReproduced(origin=origin, tolerance=tolerance, verdicts=verdicts))

    def _verdict(self, coordinator: Coordinator, node: Node, now: RunView) -> StepVerdict:
        name = node.name
        if name not in coordinator.outputs:
            failed = name == coordinator.failed and coordinator.failure is not None
            why = (_first(coordinator), *self._causes(coordinator, node)) if failed else ()
            return StepVerdict(step=name, verdict="failed" if failed else "not run", why=why)
        old, new = self._origin.step(name).outputs, coordinator.outputs[name]
        unequal = [each for each in new if each not in old or old[each].digest != new[each].digest]
        if not unequal:
            return StepVerdict(step=name, verdict="equal")
        parted = [f"{each}: {text}" for each in unequal if (text := self._difference(old.get(each), new[each]))]
        causes = self._causes(coordinator, node) or (_SAME,) if parted else ()
        metrics = differences(self._metrics(name), now.steps[name].metrics)
        return StepVerdict(step=name, verdict="parted" if parted else "within", why=(*parted, *causes), metrics=metrics)

    def _difference(self, old: Artifact | None, new: Artifact) -> str:
        if old is None:
            return "there was no such output"
        try:
            return self._likeness.difference(old, new)
        except MlopsfwError as error:  # it was erased, or removed, since
            return f"the recorded value cannot be read: {error.message}"

    def _metrics(self, name: str) -> dict[str, float | None]:
        step = self._origin.step(name)
        if step.status != "cached" or not step.from_run:
            return step.metrics
        made = self._runs.get(step.from_run).steps
        return made[name].metrics if name in made else {}

    def _causes(self, coordinator: Coordinator, node: Node) -> tuple[str, ...]:
        """Return what differs between what the recorded result and the new one depend on."""
        execution, key = coordinator.execution, self._origin.step(node.name).fingerprint
        kept = execution.results.find(key) if key else None
        if kept is None:
            return ("what its result depended on is no longer stored",)
        try:
            inputs = execution.inputs.of(node, coordinator.outputs)
            return changes(execution, kept.fingerprint, coordinator.prints.fingerprint(node, inputs))
        except MlopsfwError as error:
            return (error.message,)


def _first(coordinator: Coordinator) -> str:
    failure = coordinator.failure
    return "" if failure is None else f"{failure.type}: {failure.message.partition(chr(10))[0]}"
