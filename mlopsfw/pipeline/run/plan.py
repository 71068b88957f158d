"""What a run would do, and why: `run --plan`, and `why` for one step. Runs nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.pipeline.graph.model import Node, Output
from mlopsfw.pipeline.run.why import changes

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.cache.fingerprint import Fingerprinter
    from mlopsfw.pipeline.cache.key import Fingerprint
    from mlopsfw.pipeline.graph.model import Graph
    from mlopsfw.pipeline.run.execution import Execution
    from mlopsfw.pipeline.run.runs import Runs


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """The plan for one step.

    Args:
        step: Its name.
        action: `cached`, `run`, or `maybe` if that depends on the results of earlier steps.
        verdict: The reason in a few words.
        engine: The name of the engine that would make its attempts.
        reasons: What changed since its result was last made or used.
    """

    step: str
    action: str
    verdict: str
    engine: str = ""
    reasons: tuple[str, ...] = ()


class Planner:
    """Plans steps.

    Args:
        execution: The parts that would carry out the run.
        runs: Earlier runs.
        prints: Makes the cache keys.
        forced: Steps whose kept results would not be used.
    """

    def __init__(self, execution: Execution, runs: Runs, prints: Fingerprinter, forced: Collection[str]) -> None:
        self._execution, self._runs, self._prints, self._forced = execution, runs, prints, forced
        self._outputs: dict[str, Mapping[str, Artifact]] = {}

    def plan(self, graph: Graph) -> list[Planned]:
        """Return what a run of `graph` would do, in order."""
        return [msgspec.structs.replace(self._consider(node), engine=node.engine) for node in graph.nodes.values()]

    def _consider(self, node: Node) -> Planned:
        known, unknown = self._inputs(node)
        before = self._last_fingerprint(node.name)
        now = self._prints.fingerprint(node, known)
        reasons = changes(self._execution, before, now, without=unknown) if before else ()
        if not node.cacheable:
            why = (
                "it acts on something outside the cache"
                if node.plugin and not node.plugin.cacheable
                else "cache = false"
            )
            return self._would_run(node, f"it runs every time: {why}")
        if node.name in self._forced:
            return self._would_run(node, "forced")
        if unknown:
            return self._after_others(node, unknown, before, reasons)
        kept = self._execution.results.find(now.key)
        if kept is None:
            return self._would_run(node, "it has changed" if before else "it has never run", reasons)
        self._outputs[node.name] = kept.outputs
        return Planned(
            step=node.name, action="cached", verdict=f"nothing changed since run {kept.run}, whose result is used"
        )

    def _after_others(
        self, node: Node, unknown: dict[str, str], before: Fingerprint | None, reasons: tuple[str, ...]
    ) -> Planned:
        waiting = tuple(f"input {name}: step {step!r} would run first" for name, step in unknown.items())
        if before is None or reasons:
            return self._would_run(node, "it has changed" if before else "it has never run", (*reasons, *waiting))
        return Planned(
            step=node.name, action="maybe", verdict="it runs unless its inputs turn out unchanged", reasons=waiting
        )

    def _would_run(self, node: Node, verdict: str, reasons: tuple[str, ...] = ()) -> Planned:
        return Planned(step=node.name, action="run", verdict=verdict, reasons=reasons)

    def _inputs(self, node: Node) -> tuple[dict[str, Artifact], dict[str, str]]:
        """Return the known inputs, and for the other inputs the step that must run first."""
        known, unknown = {}, {}
        for name, source in node.inputs.items():
            if not isinstance(source, Output):
                known[name] = self._execution.inputs.resolve(source)
            elif source.step in self._outputs:
                known[name] = self._outputs[source.step][source.name]
            else:
                unknown[name] = source.step
        return known, unknown

    def _last_fingerprint(self, step: str) -> Fingerprint | None:
        """Return what the newest result of a step was made of, or None if it has none."""
        for view in self._runs.with_step(step):
            fingerprint = view.steps[step].fingerprint  # none where it did not finish
            kept = self._execution.results.find(fingerprint) if fingerprint else None
            if kept is not None:
                return kept.fingerprint
        return None
