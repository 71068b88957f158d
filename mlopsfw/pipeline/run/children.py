"""Children of a step that runs: attempts like its own, made by its engine beside it, recorded and cached one by one.

A child `fit[3]` of the step `fit` is the same step with one more input. The run's stream says what each child was given and what came of it,
so that a step which is started again knows its children.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlopsfw.kernel.roles.engine import Handle, Resources, StepResult, StepSpec
from mlopsfw.lineage import canonical
from mlopsfw.pipeline.cache.events import Result
from mlopsfw.pipeline.cache.key import Fingerprint
from mlopsfw.pipeline.graph.partnames import part_name
from mlopsfw.pipeline.run.attempt import checkpoints_of
from mlopsfw.pipeline.run.child import GIVEN, history
from mlopsfw.pipeline.run.retry import LOST_RETRIES
from mlopsfw.pipeline.run.step_events import StepCached, StepFailed, StepFinished, StepStarted, StepStopped

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import ProjectConfig
    from mlopsfw.kernel.events.record import EventRecord
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.pipeline.run.execution import Execution
    from mlopsfw.pipeline.run.session import Sessions


class _Ended(NamedTuple):
    """The handle of an attempt that was made in this process."""

    result: StepResult

    def wait(self, timeout: float | None = None) -> StepResult:
        """Return the result."""
        del timeout
        return self.result

    def cancel(self) -> None:
        """Do nothing: it has ended."""


@dataclass(kw_only=True)
class _Running:
    number: int
    attempt: int
    given: Artifact
    key: Fingerprint
    output: str
    handle: Handle


class Children:
    """The children of one attempt of a step. For a debugger they run in its process, one after the other, and an exception passes.

    Args:
        execution: The parts that carry out runs.
        sessions: Have the graph, and make cache keys.
        config: The project's.
        context: Of the attempt.
    """

    def __init__(self, execution: Execution, sessions: Sessions, config: ProjectConfig, context: StepContext) -> None:
        self._services, self._workers, self._results = execution.services, execution.workers, execution.results
        self._config, self._context = config.to_json(), context
        self._stream = self._services.ledger.stream(f"run/{context.run}")
        self.past = history(self._stream.events(), context.step)
        self._node = sessions.graph.nodes[context.step]
        self._prints = sessions.fingerprinter()
        self._keys: dict[tuple[str, ...], Fingerprint] = {}
        self._environment = self._services.blobs.put(canonical.encode(self._prints.environment))
        self._running: dict[int, _Running] = {}
        self._lost: Counter[int] = Counter()
        self._at_once = self.slots

    @property
    def _debug(self) -> bool:
        return self._context.debug

    @property
    def slots(self) -> int:
        """How many children the engine can run at once."""
        return 1 if self._debug else self._workers.engine(self._node.engine).slots

    def at_once(self, most: int) -> int:
        """Return how many children are to run at once, at most `most` if that is not 0. Each then asks for its share of the cores."""
        self._at_once = min(most, self.slots) if most else self.slots
        return self._at_once

    @property
    def resources(self) -> Resources:
        """What each child asks for: what its step asks for, else its share of the cores."""
        asked = self._context.resources
        if asked.cpus or self._debug:
            return asked
        cores = self._workers.engine(self._node.engine).capacity(Resources()).cpus
        return msgspec.structs.replace(asked, cpus=float(max(1, int(cores / self._at_once))))

    def key(self, counts: Mapping[str, Any], plugins: Sequence[str]) -> Fingerprint:
        """Return the cache key of a child.

        Args:
            counts: What its result depends on besides the inputs and the plugins, as JSON values.
            plugins: Of the step's, those that it uses.
        """
        names = tuple(plugins)
        if names not in self._keys and self._node.plugin is not None:
            node = replace(self._node, plugin=replace(self._node.plugin, plugins=names))
            self._keys[names] = self._prints.fingerprint(node, self._context.inputs)
        return msgspec.structs.replace(self._keys[names], step="", params=counts)

    def cached(self, number: int, given: Artifact, key: Fingerprint) -> Result | None:
        """Return a kept result, and record that it was used; None where there is none."""
        uses = self._node.config.cache and not self.past.alone
        kept = self._results.find(key.key) if uses else None
        if kept is not None:
            inputs = {**self._context.inputs, GIVEN: given}
            name = part_name(self._context.step, number)
            self._append(
                StepCached(step=name, inputs=inputs, outputs=kept.outputs, from_run=kept.run, fingerprint=key.key)
            )
        return kept

    def start(self, number: int, given: Artifact, key: Fingerprint, *, output: str, attempt: int = 1) -> None:
        """Start a child, or an attempt after one that was lost: it finds the checkpoints of that one."""
        name, inputs = part_name(self._context.step, number), {**self._context.inputs, GIVEN: given}
        spec = StepSpec(
            project=str(self._services.workspace.root),
            config=self._config,
            run=self._context.run,
            step=name,
            attempt=attempt,
            epoch=self.past.epoch,
            inputs=inputs,
            outputs=(output,),
            fingerprint=key.key,
            resources=self.resources,
        )
        engine = "" if self._debug else self._node.engine
        self._append(StepStarted(step=name, attempt=attempt, inputs=inputs, fingerprint=key.key, engine=engine))
        workers = self._workers
        handle = _Ended(workers.run_here(spec)) if self._debug else workers.engine(engine).submit(spec)
        self._running[number] = _Running(
            number=number, attempt=attempt, given=given, key=key, output=output, handle=handle
        )

    @property
    def running(self) -> list[int]:
        """The numbers of the children that run."""
        return list(self._running)

    def ended(self, timeout: float) -> Iterator[tuple[int, StepResult]]:
        """Wait up to `timeout` seconds, and yield the children that have ended. The caller passes each to `record`.

        A child whose process or node was lost is started again, as a step is.
        """
        for number, child in list(self._running.items()):
            result = child.handle.wait(timeout / max(1, len(self._running)))
            if result is not None and not self._again(child, result):
                yield number, result

    def _again(self, child: _Running, result: StepResult) -> bool:
        if result.failure is None or not result.failure.lost or self._lost[child.number] == LOST_RETRIES:
            return False
        self._lost[child.number] += 1
        self.record(child.number, result, keep=False)
        self.start(child.number, child.given, child.key, output=child.output, attempt=child.attempt + 1)
        return True

    def record(self, number: int, result: StepResult, *, keep: bool) -> None:
        """Record what came of a child.

        Args:
            number: Its number.
            result: Of its attempt.
            keep: Whether another run may use its result.
        """
        child, name = self._running.pop(number), part_name(self._context.step, number)
        self._announce(result)
        if (failure := result.failure) is not None:
            trace = self._services.blobs.put(failure.traceback.encode()) if failure.traceback else ""
            self._append(StepFailed.of_result(name, child.attempt, result, failure, trace))
            return
        keep = keep and not self._prints.codebase.changed()
        self._append(StepFinished.of_result(name, child.attempt, result, child.key.key if keep else ""))
        if keep and self._node.cacheable and not self.past.alone:
            self._keep(name, child.key, result)

    def _announce(self, result: StepResult) -> None:
        """Let observers of the step's own process pass on what a child appended."""
        for stream, seq in result.events:
            self._services.ledger.announce(stream, seq)

    def _keep(self, name: str, key: Fingerprint, result: StepResult) -> None:
        entry = Result(
            run=self._context.run,
            step=name,
            outputs=result.outputs,
            fingerprint=key,
            seconds=result.seconds,
            environment=self._environment,
        )
        self._results.keep(key.key, entry)

    def folder(self, number: int) -> Path:
        """Return the folder of a running child's checkpoints, where it runs on this machine."""
        name = part_name(self._context.step, number)
        return self._services.workspace.private_folder(
            "runs", self._context.run, name, checkpoints_of(self._running[number].key.key)
        )

    def stop(self, reason: str) -> Iterator[tuple[int, StepResult | None]]:
        """End the children that run, all at once. Yield what came of those that were done, which the caller passes to `record`, and None for the others."""
        children = list(self._running.items())
        with ThreadPoolExecutor(max(1, len(children))) as threads:
            list(threads.map(lambda each: each[1].handle.cancel(), children))
        for number, child in children:
            result = child.handle.wait() or StepResult()
            if result.failure is None and result.outputs:
                yield number, result
                continue
            del self._running[number]
            self._announce(result)
            name = part_name(self._context.step, number)
            self._append(StepStopped(step=name, attempt=child.attempt, reason=reason, node=result.node))
            yield number, None

    def close(self) -> None:
        """End the children that run, and the workers. What is not recorded counts as running when the step starts again."""
        self._workers.renew()

    def _folder(self, number: int) -> Any:
        return self._services.workspace.private_folder("runs", self._context.run, part_name(self._context.step, number))

    def _append(self, record: EventRecord) -> None:
        self._stream.append(record, epoch=self.past.epoch)
