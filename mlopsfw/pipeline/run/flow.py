"""`RunFlow`: each step's inputs and outputs in one run, from its configuration and events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlopsfw.kernel.component import Edge
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.event import Event
from mlopsfw.lineage.references import parse_reference
from mlopsfw.pipeline.graph.partnames import step_of
from mlopsfw.pipeline.run.step_events import StepCached, StepStarted

Wiring = dict[str, dict[str, str]]
"""Step → parameter → what it takes: another step's output, or a reference."""

_TAKING: dict[str, type[StepStarted | StepCached]] = {record.type: record for record in (StepStarted, StepCached)}


def wiring_of(config: Mapping[str, Any]) -> Wiring:
    """Return the inputs of the steps of a configuration, as JSON values."""
    return {name: dict(step.get("inputs", {})) for name, step in config.get("steps", {}).items()}


def inputs_of(events: Iterable[Event]) -> Wiring:
    """Return the inputs of the steps that have exact references."""
    taken: Wiring = {}
    for event in events:
        if record := _TAKING.get(event.type):
            began = record.of(event)
            for parameter, artifact in began.inputs.items():
                if artifact.ref:
                    taken.setdefault(began.step, {})[parameter] = artifact.ref
    return taken


class RunFlow:
    """The inputs and outputs in one run.

    Args:
        wiring: What its steps take.
        taken: What they took, exact.
        outputs: Step, or a part of it → output → value.
    """

    def __init__(
        self, wiring: Mapping[str, Mapping[str, str]], taken: Wiring, outputs: Mapping[str, Mapping[str, Artifact]]
    ) -> None:
        self._outputs = outputs
        self._wiring = {
            step: {name: taken.get(step, {}).get(name, text) if ":/" in text else text for name, text in inputs.items()}
            for step, inputs in wiring.items()
        }

    @property
    def used(self) -> set[str]:
        """Every exact reference that its steps took, and every dataset version that they returned."""
        upstream = {ref for step in self._wiring for ref in self.upstream(step)}
        returned = (a.ref for outputs in self._outputs.values() for a in outputs.values() if a.kind == "dataset")
        return upstream | set(returned)

    def derived(self, committed: Iterable[str]) -> Iterator[Edge]:
        """Yield which dataset versions became which of the versions that the run committed.

        Of one that no step returned, all may have.
        """
        steps = {
            a.ref: step for step, outputs in self._outputs.items() for a in outputs.values() if a.kind == "dataset"
        }
        for made in committed:
            sources = self.upstream(steps[made]) if made in steps else self.used
            for source in sorted(sources - {made}):
                if source.startswith("data:/"):
                    yield Edge(source, made, "became", kind="detail")

    def upstream(self, step: str) -> set[str]:
        """Return the references from which the inputs of `step`, or of a part of it, came, also through other steps."""
        step = step_of(step)
        refs: set[str] = set()
        seen, queue = {step}, [step]
        while queue:
            for source in self._wiring.get(queue.pop(), {}).values():
                if ":/" in source:
                    refs.add(_pinned(source))
                    continue
                name = source if source in self._outputs else source.rpartition(".")[0]
                refs |= {a.ref for a in self._outputs.get(name, {}).values() if a.kind == "dataset"}
                if name and name not in seen:
                    seen.add(name)
                    queue.append(name)
        return refs - {""}


def _pinned(source: str) -> str:
    """Return the exact reference, or nothing for a floating one: its step never took a version."""
    reference = parse_reference(source)
    if reference.scheme == "runs":
        return f"runs:/{reference.name}"
    return source if reference.version is not None else ""
